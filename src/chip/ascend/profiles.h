/* The chips this kind knows, as data: what supports() and estimates go by, with no hardware. A profile is written "910B4"; with "+int8" gate and up of each
 * layer compute in int8, with "+w8a8" all linears of layers do; "@8.1" means that version of CANN (without: the newest known): "910B4+w8a8@8.1". */
#ifndef CHIP_ASCEND_PROFILES_H
#define CHIP_ASCEND_PROFILES_H

#include "chip/chip.h"

enum ascend_family { FAMILY_310P, FAMILY_A2, FAMILY_A3, FAMILY_950 };

struct ascend_soc {
    const char *name;     /* "910B4" */
    const char *soc_name; /* as the runtime says it: "Ascend910B4" */
    enum ascend_family family;
    uint64_t memory_bytes;
    double bandwidth;            /* bytes/s */
    double half_rate, int8_rate; /* operations/s; 0: unknown */
    const char *refusal;         /* why the whole chip is not served; NULL: it is */
    bool is_listed;              /* in tables: one of those that differ in figures only */
};

/* Which linears of layers compute with int8 weights and int8 inputs. What it costs differs by where: see docs/ASCEND.md. */
enum ascend_int8 { INT8_NONE, INT8_GATES, INT8_ALL, INT8_COUNT };

struct ascend_profile {
    const struct ascend_soc *soc;
    enum ascend_int8 int8;
    bool is_version_81; /* CANN 8.1 .. 8.2: without the newer operators */
};

/* Reads a profile; "" is the first served one. SAMPAN_EUNSUPPORTED with the names there are; the family's refusal where there is one. */
int ascend_profile_read(const char *text, struct ascend_profile *profile, struct error *err);

/* The row of a name as the runtime says it, or NULL. */
const struct ascend_soc *ascend_soc_find(const char *soc_name);

int ascend_profiles_list(struct chip_profile *profiles, int max);

#endif
