/* text.c -- see text.h. */
#include "base/text.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Compares the digit runs at *a and *b by value and steps over them. */
static int compare_numbers(const char **a, const char **b, int *tie) {
    const char *x = *a, *y = *b;
    while (*x == '0')
        x++;
    while (*y == '0')
        y++;
    size_t nx = strspn(x, "0123456789"), ny = strspn(y, "0123456789");
    if (nx != ny)
        return nx < ny ? -1 : 1;
    int order = memcmp(x, y, nx);
    if (!order && !*tie)
        *tie = x - *a < y - *b ? -1 : x - *a > y - *b;
    *a = x + nx, *b = y + ny;
    return order;
}

int dm_text_natural(const char *a, const char *b) {
    int tie = 0;
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            int order = compare_numbers(&a, &b, &tie);
            if (order)
                return order;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++, b++;
        }
    }
    if (*a || *b)
        return *a ? 1 : -1;
    return tie;
}

static uint64_t unit_ms(const char **p) {
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i].name);
        if (!strncmp(*p, units[i].name, n) && (!(*p)[n] || isdigit((unsigned char)(*p)[n]))) {
            *p += n;
            return units[i].ms;
        }
    }
    return 0;
}

int dm_text_duration(const char *text, uint64_t *ret_ms) {
    uint64_t sum = 0;
    if (!strcmp(text, "0"))
        return *ret_ms = 0, 0;
    if (!*text)
        return -EINVAL;
    while (*text) {
        uint64_t value = 0, unit;
        if (!isdigit((unsigned char)*text))
            return -EINVAL;
        for (; isdigit((unsigned char)*text); text++)
            if ((value = value * 10 + (uint64_t)(*text - '0')) > UINT64_C(1000000000000))
                return -EINVAL;
        if (!(unit = unit_ms(&text)))
            return -EINVAL;
        sum += value * unit;
    }
    *ret_ms = sum;
    return 0;
}

char *dm_text_duration_format(uint64_t ms, char *out, size_t size) {
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t at = 0;
    snprintf(out, size, "0");
    for (size_t i = 0; i < sizeof units / sizeof *units && at < size; i++) {
        if (ms >= units[i].ms)
            at += (size_t)snprintf(out + at, size - at, "%llu%s", (unsigned long long)(ms / units[i].ms),
                                   units[i].name);
        ms %= units[i].ms;
    }
    return out;
}

/* Length of the sequence that starts with `c`, 0 when no sequence does; *least: the smallest code it may mean. */
static size_t sequence(unsigned char c, uint32_t *code, uint32_t *least) {
    if (c < 0x80)
        return *code = c, *least = 0, 1;
    if (c >= 0xc2 && c < 0xe0)
        return *code = c & 0x1f, *least = 0x80, 2;
    if (c >= 0xe0 && c < 0xf0)
        return *code = c & 0x0f, *least = 0x800, 3;
    if (c >= 0xf0 && c < 0xf5)
        return *code = c & 0x07, *least = 0x10000, 4;
    return 0;
}

bool dm_text_utf8(const void *data, size_t len) {
    const unsigned char *p = data, *end = p + len;
    while (p < end) {
        uint32_t code, least;
        uint64_t word;
        if (end - p >= 8 && (memcpy(&word, p, 8), !(word & UINT64_C(0x8080808080808080)))) {
            p += 8; /* eight ASCII bytes at once: ids of plugins are nothing else */
            continue;
        }
        size_t n = sequence(*p, &code, &least);
        if (!n || (size_t)(end - p) < n)
            return false;
        for (size_t i = 1; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[i] & 0x3f);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return false;
        p += n;
    }
    return true;
}

void dm_text_one_line(char *message) {
    for (char *p = message, *end = message + strlen(message); p < end;) {
        size_t n = 1, left = (size_t)(end - p);
        while (n < 4 && n < left && !dm_text_utf8(p, n))
            n++;
        if (!dm_text_utf8(p, n) || (unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?', n = 1;
        p += n;
    }
}

bool dm_text_match(const char *pattern, const char *text) {
    const char *star = NULL, *retry = NULL;
    while (*text) {
        if (*pattern == '*')
            star = ++pattern, retry = text;
        else if (*pattern == *text)
            pattern++, text++;
        else if (star)
            pattern = star, text = ++retry;
        else
            return false;
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

int dm_text_u64(const char *text, uint64_t *ret) {
    uint64_t value = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return -EINVAL;
    *ret = value;
    return 0;
}
