/* The chips that can be played, and what the environment asks for. Memory, bandwidth and peaks are public figures, rounded; they only feed the modelled
 * time. */
#include "emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define GIB ((uint64_t)1 << 30)

static const struct soc_profile profiles[] = {
    {"Ascend310P3", SOC_310P, 24 * GIB, 204e9, 70e12, 2e12, 8, 8, 1024, 1023},
    {"Ascend910B1", SOC_A2, 64 * GIB, 1600e9, 378e12, 12e12, 24, 48, 1984, 65536},
    {"Ascend910B2", SOC_A2, 64 * GIB, 1600e9, 353e12, 11e12, 24, 48, 1984, 65536},
    {"Ascend910B3", SOC_A2, 64 * GIB, 1600e9, 313e12, 10e12, 20, 40, 1984, 65536},
    {"Ascend910B4", SOC_A2, 32 * GIB, 800e9, 280e12, 9e12, 20, 40, 1984, 65536},
    {"Ascend910_9362", SOC_A3, 64 * GIB, 1600e9, 313e12, 10e12, 20, 40, 1984, 65536},
    {"Ascend910_9382", SOC_A3, 64 * GIB, 1600e9, 353e12, 11e12, 24, 48, 1984, 65536},
    {"Ascend910_9392", SOC_A3, 64 * GIB, 1600e9, 376e12, 12e12, 24, 48, 1984, 65536},
    {"Ascend950PR", SOC_950, 112 * GIB, 1400e9, 500e12, 15e12, 32, 64, 1984, 65536},
};

static struct settings settings;
static pthread_once_t settings_once = PTHREAD_ONCE_INIT;

static uint64_t read_bytes(const char *text, uint64_t otherwise)
{
    if (!text || !*text)
        return otherwise;
    char *end;
    double value = strtod(text, &end);
    if (!strncasecmp(end, "g", 1))
        value *= 1 << 30;
    else if (!strncasecmp(end, "m", 1))
        value *= 1 << 20;
    else if (!strncasecmp(end, "k", 1))
        value *= 1 << 10;
    return value >= 4096 ? (uint64_t)value : otherwise;
}

static unsigned read_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned count_visible(unsigned devices)
{
    const char *visible = getenv("ASCEND_RT_VISIBLE_DEVICES");
    if (!visible)
        return devices;
    unsigned count = *visible != 0;
    for (const char *c = visible; *c; c++)
        count += *c == ',';
    return count < devices ? count : devices;
}

static void read_settings(void)
{
    const char *name = getenv("ASCEND_EMULATOR_SOC");
    settings.soc = profiles[4];
    bool found = !name || !*name;
    for (size_t i = 0; !found && i < sizeof profiles / sizeof *profiles; i++)
        if (!strcasecmp(name, profiles[i].name) || !strcasecmp(name, profiles[i].name + strlen("Ascend"))) {
            settings.soc = profiles[i];
            found = true;
        }
    if (!found)
        fprintf(stderr, "ascend emulator: ASCEND_EMULATOR_SOC=%s is not known; playing %s\n", name, settings.soc.name);
    settings.n_devices = read_number("ASCEND_EMULATOR_DEVICES", 1);
    if (settings.n_devices < 1 || settings.n_devices > 16)
        settings.n_devices = 1;
    settings.n_devices = count_visible(settings.n_devices);
    settings.memory_bytes = read_bytes(getenv("ASCEND_EMULATOR_MEMORY"), settings.soc.memory_bytes);
    const char *version = getenv("ASCEND_EMULATOR_VERSION");
#ifdef EMULATOR_VERSION_81
    settings.version_81 = !version || strcmp(version, "9.1") != 0;
#else
    settings.version_81 = version && !strcmp(version, "8.1");
#endif
    settings.verbose = read_number("ASCEND_EMULATOR_VERBOSE", 0) != 0;
    settings.old_driver = read_number("ASCEND_EMULATOR_OLD_DRIVER", 0) != 0;
    const char *leaks = getenv("ASCEND_EMULATOR_LEAKS");
    settings.fail_on_leak = leaks && !strcmp(leaks, "fail");
    settings.quiet_leaks = leaks && !strcmp(leaks, "quiet");
    settings.hang_milliseconds = read_number("ASCEND_EMULATOR_HANG_MS", 20000);
    settings.slow_milliseconds = read_number("ASCEND_EMULATOR_SLOW_MS", 100);
    settings.seed = read_number("ASCEND_EMULATOR_SEED", 0);
    settings.trace_path = getenv("ASCEND_EMULATOR_TRACE");
}

const struct settings *emulator_settings(void)
{
    pthread_once(&settings_once, read_settings);
    return &settings;
}
