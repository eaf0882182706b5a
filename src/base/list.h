/* list.h -- intrusive doubly linked list. A node that is in no list points to itself; removing it again is harmless. */
#ifndef DM_BASE_LIST_H
#define DM_BASE_LIST_H
#include "base/mem.h"
#include <stdbool.h>

struct dm_list {
    struct dm_list *prev, *next;
};

static inline void dm_list_init(struct dm_list *l) {
    l->prev = l->next = l;
}
static inline bool dm_list_empty(const struct dm_list *l) {
    return l->next == l;
}
static inline void dm_list_append(struct dm_list *head, struct dm_list *node) {
    node->prev = head->prev, node->next = head;
    head->prev->next = node, head->prev = node;
}
static inline void dm_list_remove(struct dm_list *node) {
    if (node->next)
        node->prev->next = node->next, node->next->prev = node->prev;
    dm_list_init(node);
}
#define DM_LIST_FIRST(head, type, member)                                                                    \
    (dm_list_empty(head) ? NULL : DM_CONTAINER((head)->next, type, member))
/* Walks `head`; the current node may be removed inside the body, no other. */
#define DM_LIST_EACH(var, head, type, member)                                                                \
    for (struct dm_list *it_ = (head)->next, *nx_ = it_->next;                                               \
         it_ != (head) && ((var) = DM_CONTAINER(it_, type, member), 1); it_ = nx_, nx_ = it_->next)
#endif
