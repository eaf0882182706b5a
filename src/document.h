/* document.h -- the documents of a text, YAML or JSON, one by one, as trees of libyaml's.
 *
 * A stranger's few KiB can keep libyaml busy for minutes and take gigabytes: its time grows with the square of depth,
 * anchors and directives, and a value of two bytes is 200 in memory. So all of them are counted before a tree is made. */
#ifndef DM_DOCUMENT_H
#define DM_DOCUMENT_H
#include "devmgr.h"
#include <yaml.h>

struct dm_documents { /* a text and how far it is read; start with the first two */
    const char *text; /* the caller's; need not end with NUL */
    size_t n;
    size_t at;   /* bytes that were read, */
    size_t line; /* ... and lines */
};
struct dm_document {
    yaml_document_t tree;
    size_t line; /* lines before it in the text */
};

/* 1: *ret is the next document that has content; the caller's, dm_document_free it. 0: there is none. DEVMGR_EINVALID:
 * place and fault; the text is read to behind that document, so that the next can be tried. */
int dm_document_next(struct dm_documents *d, struct dm_document *ret, devmgr_error *reterr);
void dm_document_free(struct dm_document *doc);
#endif
