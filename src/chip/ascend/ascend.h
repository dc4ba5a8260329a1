/* The Ascend chip: dense decoders on 910B and 910C through CANN's C operators; see README.md. */
#ifndef CHIP_ASCEND_ASCEND_H
#define CHIP_ASCEND_ASCEND_H

#include "chip/chip.h"

extern const struct chip_interface ascend_chip_interface;

#endif
