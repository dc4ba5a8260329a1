/* Which operation, with which types and shapes, runs on which profile: asked of every chip's supports(), written as the table docs/OPS.md. The same on every
 * machine. */
#ifndef PORT_OPS_TABLE_H
#define PORT_OPS_TABLE_H

#include "base/buffer.h"
#include "base/error.h"

/* Appends the whole document, Markdown. */
int port_write_ops_table(struct buffer *out, struct error *err);

#endif
