/* why.h -- a topology decision in words: what was asked, which nodes could serve it, why the policy takes or refuses them. */
#ifndef DM_MANAGER_WHY_H
#define DM_MANAGER_WHY_H
#include "base/buf.h"
#include "manager/decide.h"

/* A clause: why no nodes are good for all that is asked. Nothing when there are such, or nobody looked (policy none). */
void dm_why_put(struct dm_buf *out, const struct dm_manager *m, const struct dm_decision *d);
/* Policy and scope, that clause, then each resource with what is free where and which nodes would do. */
void dm_why_put_all(struct dm_buf *out, const struct dm_manager *m, const struct dm_decision *d);
#endif
