#include "chip/ascend/profiles.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

#define GIB ((uint64_t)1 << 30)

static const char no_paged_attention[] =
    "Ascend 310P has no paged attention among its C operators (only in the C++ library of nnal/atb), which decoding with a "
    "block table needs; use a 910B or 910C";
static const char not_yet[] = "Ascend 950 needs other operators (FusedInferAttentionScoreV5, NpuFormatCast) and is not served yet; use a 910B or 910C";

/* Figures: vendors' public pages and press, rounded; a 910C package holds two dies, and one row is one die, as the runtime counts devices. */
static const struct ascend_soc socs[] = {
    {"910B4", "Ascend910B4", FAMILY_A2, 32 * GIB, 800e9, 280e12, 560e12, NULL, true},
    {"910B4-1", "Ascend910B4-1", FAMILY_A2, 64 * GIB, 1600e9, 280e12, 560e12, NULL, false},
    {"910B3", "Ascend910B3", FAMILY_A2, 64 * GIB, 1600e9, 313e12, 626e12, NULL, true},
    {"910B2", "Ascend910B2", FAMILY_A2, 64 * GIB, 1600e9, 353e12, 706e12, NULL, true},
    {"910B2C", "Ascend910B2C", FAMILY_A2, 64 * GIB, 1600e9, 353e12, 706e12, NULL, false},
    {"910B1", "Ascend910B1", FAMILY_A2, 64 * GIB, 1600e9, 378e12, 756e12, NULL, true},
    {"910C-9391", "Ascend910_9391", FAMILY_A3, 64 * GIB, 1600e9, 376e12, 752e12, NULL, false},
    {"910C-9392", "Ascend910_9392", FAMILY_A3, 64 * GIB, 1600e9, 376e12, 752e12, NULL, true},
    {"910C-9381", "Ascend910_9381", FAMILY_A3, 64 * GIB, 1600e9, 353e12, 706e12, NULL, false},
    {"910C-9382", "Ascend910_9382", FAMILY_A3, 64 * GIB, 1600e9, 353e12, 706e12, NULL, false},
    {"910C-9372", "Ascend910_9372", FAMILY_A3, 64 * GIB, 1600e9, 313e12, 626e12, NULL, false},
    {"910C-9362", "Ascend910_9362", FAMILY_A3, 64 * GIB, 1600e9, 313e12, 626e12, NULL, false},
    {"310P3", "Ascend310P3", FAMILY_310P, 24 * GIB, 204e9, 70e12, 140e12, no_paged_attention, true},
    {"950PR", "Ascend950PR", FAMILY_950, 112 * GIB, 1400e9, 500e12, 1000e12, not_yet, true},
};

enum { N_SOCS = sizeof socs / sizeof socs[0] };

const struct ascend_soc *ascend_soc_find(const char *soc_name)
{
    for (int i = 0; i < N_SOCS; i++)
        if (strcmp(socs[i].soc_name, soc_name) == 0)
            return &socs[i];
    if (strncmp(soc_name, "Ascend310P", 10) == 0)
        return ascend_soc_find("Ascend310P3");
    return strncmp(soc_name, "Ascend950", 9) == 0 && strcmp(soc_name, "Ascend950PR") != 0 ? ascend_soc_find("Ascend950PR") : NULL;
}

static int refuse_name(const char *text, struct error *err)
{
    struct buffer names;
    buffer_init(&names, 1024);
    for (int i = 0; i < N_SOCS; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", socs[i].name);
    int status = error_set(err, SAMPAN_EUNSUPPORTED, "Ascend profile '%s' is not known; there are %s, each also with +int8 or +w8a8, and @8.1", text,
                           names.data ? names.data : "");
    buffer_free(&names);
    return status;
}

static const char *const int8_suffixes[INT8_COUNT] = {"", "+int8", "+w8a8"};

int ascend_profile_read(const char *text, struct ascend_profile *profile, struct error *err)
{
    size_t length = strcspn(text, "+@");
    const char *rest = text + length;
    *profile = (struct ascend_profile){.soc = length ? NULL : &socs[0]};
    for (int i = 0; i < N_SOCS; i++)
        if (strlen(socs[i].name) == length && memcmp(socs[i].name, text, length) == 0)
            profile->soc = &socs[i];
    for (int i = INT8_GATES; i < INT8_COUNT; i++)
        if (strncmp(rest, int8_suffixes[i], strlen(int8_suffixes[i])) == 0) {
            profile->int8 = (enum ascend_int8)i;
            rest += strlen(int8_suffixes[i]);
        }
    if (*rest == '@') {
        int major = 0, minor = 0;
        if (sscanf(rest, "@%2d.%2d", &major, &minor) != 2 || major < 8 || (major == 8 && minor < 1))
            return error_set(err, SAMPAN_EUNSUPPORTED, "Ascend profile '%s': a version of CANN from 8.1 on is expected behind '@'", text);
        profile->is_version_81 = major == 8 && minor < 3;
        rest = "";
    }
    if (!profile->soc || *rest)
        return refuse_name(text, err);
    return profile->soc->refusal ? error_set(err, SAMPAN_EUNSUPPORTED, "%s", profile->soc->refusal) : 0;
}

/* Each listed chip: in its 16-bit types, and with int8. */
int ascend_profiles_list(struct chip_profile *profiles, int max)
{
    static const char *const products[INT8_COUNT] = {"", ", gate and up in int8", ", linears in int8"};
    int count = 0;
    for (int i = 0; i < N_SOCS; i++)
        for (int int8 = 0; int8 < INT8_COUNT && count < max; int8++) {
            const struct ascend_soc *soc = &socs[i];
            if (!soc->is_listed || (int8 && soc->refusal))
                continue;
            profiles[count] = (struct chip_profile){
                .guarantee = GUARANTEE_NONE,
                .cache_type = TENSOR_BF16,
                .block_tokens = 128,
                .memory_bytes = soc->memory_bytes,
                .memory_reserved = GIB + GIB / 2,
                .memory_bandwidth = soc->bandwidth,
                .peak = {[RATE_F16] = soc->half_rate, [RATE_BF16] = soc->family == FAMILY_310P ? 0 : soc->half_rate, [RATE_INT8] = soc->int8_rate},
                .attention_rate = soc->family == FAMILY_310P ? RATE_F16 : RATE_BF16,
                .memory_source = "public figure",
                .bandwidth_source = "public figure",
                .peak_source = "public figure, dense; int8 at twice the rate",
            };
            snprintf(profiles[count].name, sizeof profiles[count].name, "%s%s", soc->name, int8_suffixes[int8]);
            snprintf(profiles[count].product, sizeof profiles[count].product, "Ascend %s%s", soc->name, products[int8]);
            count++;
        }
    return count;
}
