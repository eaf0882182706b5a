/* texts.h -- the kubelet's words, byte for byte, in one table; the library, the harness and the tests use it.
 *
 * Literals, so that the compiler checks their arguments where they are used. DM_TEXT_* are what the kubelet has a text
 * for; DM_SAY_* are ours, for what it never says, in its manner. */
#ifndef DM_MANAGER_TEXTS_H
#define DM_MANAGER_TEXTS_H

/* reason of a pod's status */
#define DM_REASON_UNEXPECTED "UnexpectedAdmissionError"
#define DM_REASON_AFFINITY   "TopologyAffinityError"

/* message: every error of an allocation is put into the first */
#define DM_TEXT_ADMISSION "Allocate failed due to %s, which is unexpected"
#define DM_TEXT_CHANGED                                                                                      \
    "pod \"%s\" container \"%s\" changed request for resource \"%s\" from %zu to %llu" /* uid, container */
#define DM_TEXT_UNREGISTERED "cannot allocate unregistered device %s"
#define DM_TEXT_NO_HEALTHY   "no healthy devices present; cannot allocate unhealthy devices %s"
#define DM_TEXT_HELD_UNHEALTHY                                                                               \
    "previously allocated devices are no longer healthy; cannot allocate unhealthy devices %s"
#define DM_TEXT_UNAVAILABLE   "requested number of devices unavailable for %s. Requested: %zu, Available: %zu"
#define DM_TEXT_RPC           "rpc error: code = %s desc = %s"
#define DM_TEXT_PREFERRED     "device plugin GetPreferredAllocation rpc failed with err: %s"
#define DM_TEXT_PRESTART      "device plugin PreStartContainer rpc failed with err: %s"
#define DM_TEXT_NO_CONTAINERS "no containers return in allocation response " /* and the message's text: "" */
#define DM_TEXT_NOT_WRITTEN   "failed to write checkpoint file \"kubelet_internal_checkpoint\": %s"
#define DM_TEXT_NO_ENDPOINT   "endpoint not found in cache for a registered resource: %s"
#define DM_TEXT_NO_AFFINITY   "Resources cannot be allocated with Topology locality"

/* The kubelet waits for ever, believes what it reads and never recovers: it has no words for these. */
#define DM_SAY_QUEUED     "rpc error: code = DeadlineExceeded desc = waited too long for the device plugin of %s"
#define DM_SAY_GONE       "the device plugin of %s has been stopped"
#define DM_SAY_BAD_ANSWER "undecodable allocation response: %s"
#define DM_SAY_CONFLICT   "conflicting allocation responses: %s"
#define DM_SAY_RECOVERING "devices are being recovered: %s"
#define DM_SAY_CANCELED   "context canceled"
#endif
