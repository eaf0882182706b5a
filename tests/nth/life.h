/* life.h -- what a run lives through, and what must hold whatever fails in it. */
#ifndef NTH_LIFE_H
#define NTH_LIFE_H
#include "node.h"

/* From the empty folder: serves, registers, admits, tells options, releases, syncs, restarts, admits again, ends. Comes
 * back when all was as it must be. `descriptors`: what the daemon has open at the end of a life in which nothing
 * failed; 0: not known. */
void live(struct node *n, int descriptors);
/* The library in a process of an embedder's, on a thread of its own. */
void live_embedded(struct node *n);
#endif
