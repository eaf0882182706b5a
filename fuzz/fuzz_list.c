/* Any bytes as a ListAndWatchResponse: what is accepted keeps to its limits, its ids are unique, and the same message
 * reads the same again. */
#include "base/map.h"
#include "base/mem.h"
#include "registration/list.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct dm_listing *l, const struct dm_listing_limits *limits) {
    struct dm_map seen = {0};
    assert(l->list.n <= limits->max_devices);
    for (size_t i = 0; i < l->list.n; i++) {
        const struct dm_listed_device *d = &l->list.devices[i];
        assert(strlen(d->id) <= limits->max_id);
        assert(dm_map_put(&seen, d->id, &seen));
        assert(limits->strict_numa ? d->topology >= (d->numa != 0) : d->topology == (d->numa != 0));
    }
    dm_map_free(&seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int strict = 0; strict < 2; strict++) {
        const struct dm_listing_limits limits = {50, 20, strict};
        struct dm_listing l, again;
        int code = dm_listing_read((struct dm_span){data, size}, &limits, &l, NULL);
        assert(code == 0 || code == -EBADMSG || code == -E2BIG || code == -ENAMETOOLONG || code == -EILSEQ);
        if (code)
            continue;
        check(&l, &limits);
        assert(dm_listing_read((struct dm_span){data, size}, &limits, &again, NULL) == 0);
        assert(again.fingerprint == l.fingerprint && again.list.n == l.list.n);
        dm_listing_free(&again);
        dm_listing_free(&l);
    }
    return 0;
}
