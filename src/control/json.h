/* json.h -- the one JSON printer: devmgr.h's structs as `devmgrctl -o json` shows them (jansson objects, the caller's).
 *
 * Keys are always there, in a fixed order; what is empty is empty, not absent. Keys are only ever added, at the end. */
#ifndef DM_CONTROL_JSON_H
#define DM_CONTROL_JSON_H
#include "control/client.h"
#include <jansson.h>
#include <stdio.h>

json_t *dm_json_resource(const devmgr_resource *r);
json_t *dm_json_device(const devmgr_device *d);
json_t *dm_json_pod(const devmgr_held_pod *p);
json_t *dm_json_admission(const struct dm_admission *admission);
json_t *dm_json_options(const devmgr_options *o);
json_t *dm_json_event(const devmgr_event *ev);
json_t *dm_json_text(const char *s); /* NULL, or not UTF-8: "" */

/* {NAME: rows}, and rows in order of these keys (at most 3, the rest NULL), by bytes. Takes `rows`. */
json_t *dm_json_list(const char *name, json_t *rows, const char *const keys[3]);
void dm_json_sort(json_t *rows, const char *const keys[3]); /* NULL key list: rows are strings */
void dm_json_print(json_t *json, FILE *out);                /* one line; takes `json` */
/* 2025-11-21T06:58:01.123Z */
char *dm_json_time(uint64_t unix_ms, char out[32]);
#endif
