/* text.h -- small rules about text that several folders share: id order, durations, UTF-8, patterns. */
#ifndef DM_BASE_TEXT_H
#define DM_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Natural order: runs of digits compare by value, the rest by byte; equal values: fewer leading zeros first, then bytes.
 * "gpu2" < "gpu10". Total order: 0 only for equal strings. */
int dm_text_natural(const char *a, const char *b);
/* "500ms", "5s", "1m30s", "2h", "0"; a bare number other than 0 is refused. 0 or -EINVAL. */
int dm_text_duration(const char *text, uint64_t *ret_ms);
/* The shortest of the forms above. Returns `out`. */
char *dm_text_duration_format(uint64_t ms, char *out, size_t size);
/* As Go's utf8.Valid: no surrogates, no overlong forms, at most U+10FFFF. */
bool dm_text_utf8(const void *data, size_t len);
/* Control characters, and bytes that are no UTF-8 (a value was cut inside a character), become '?': in place. */
void dm_text_one_line(char *text);
/* Shell pattern with `*` only: "example.com/" and a star. */
bool dm_text_match(const char *pattern, const char *text);
/* Decimal, no sign, no blanks, fits. 0 or -EINVAL. */
int dm_text_u64(const char *text, uint64_t *ret);
#endif
