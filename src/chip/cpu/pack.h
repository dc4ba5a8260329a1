/* From published rows to panels (panel_formats.h), and back for the embedding. */
#ifndef CHIP_CPU_PACK_H
#define CHIP_CPU_PACK_H

#include <stdint.h>

#include "chip/cpu/panel_formats.h"

/* The kind of panel for a published type; -1: none. */
int panel_kind_of(enum tensor_type type);

/* Bytes of a panel of `columns` columns (integer kinds: a multiple of the published block), a multiple of 64. */
int64_t panel_bytes(enum panel_kind kind, int64_t columns);

/* Writes a published row into its lane of a panel that began as zeros; each lane at most once. */
void panel_pack_row(enum panel_kind kind, const uint8_t *published, int64_t columns, uint8_t *panel, int lane);

/* The lane's row as float [columns], exact as the published format defines it. */
void panel_read_row(enum panel_kind kind, const uint8_t *panel, int lane, int64_t columns, float *out);

#endif
