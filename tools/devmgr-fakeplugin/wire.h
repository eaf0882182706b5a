/* wire.h -- v1beta1 messages as bytes, good ones and bad ones. */
#ifndef FP_WIRE_H
#define FP_WIRE_H
#include "base/buf.h"
#include "deviceplugin/v1beta1/deviceplugin.pb-c.h"

ProtobufCBinaryData fp_wire_text(const char *text); /* borrows */
ProtobufCBinaryData fp_wire_copy(const char *text); /* for messages that are freed with __free_unpacked */
char *fp_wire_string(ProtobufCBinaryData bytes);    /* the caller frees */
void fp_wire_pack(const ProtobufCMessage *message, struct dm_buf *out); /* appends */
/* Appends a field nobody knows, so that the message is still good but 65 MiB long: above every receiver's limit. */
void fp_wire_pad(struct dm_buf *out);
void fp_wire_garbage(struct dm_buf *out); /* what is there becomes bytes that no message begins with */
#endif
