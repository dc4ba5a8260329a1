#include "engine/philox.h"

#include <string.h>

/* Multipliers and Weyl constants of the paper, table 2 and section 3.3. */
#define MULTIPLIER_0 0xD2511F53u
#define MULTIPLIER_1 0xCD9E8D57u
#define WEYL_0 0x9E3779B9u
#define WEYL_1 0xBB67AE85u

void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k[2] = {key[0], key[1]};
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t product_0 = (uint64_t)MULTIPLIER_0 * c[0], product_1 = (uint64_t)MULTIPLIER_1 * c[2];
        uint32_t next_0 = (uint32_t)(product_1 >> 32) ^ c[1] ^ k[0];
        uint32_t next_2 = (uint32_t)(product_0 >> 32) ^ c[3] ^ k[1];
        c[1] = (uint32_t)product_1;
        c[3] = (uint32_t)product_0;
        c[0] = next_0;
        c[2] = next_2;
        k[0] += WEYL_0;
        k[1] += WEYL_1;
    }
    memcpy(out, c, sizeof c);
}

double philox_uniform(uint64_t seed, uint32_t choice, uint32_t position)
{
    const uint32_t counter[4] = {position, choice, 0, 0}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t random[4];
    philox_block(counter, key, random);
    uint64_t bits = (uint64_t)random[1] << 32 | random[0];
    return (double)(bits >> 11) * 0x1p-53;
}
