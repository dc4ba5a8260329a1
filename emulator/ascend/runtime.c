/* Life of the process, devices, contexts, and the exported calls on streams. A thread has one current context; aclrtSetDevice binds the device's default
 * one. */
#include "emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int references; /* of aclInit */
static __thread struct context *current;
static struct context *contexts[64];
static pthread_mutex_t devices_lock = PTHREAD_MUTEX_INITIALIZER; /* setting and resetting a device are one step each */
uint32_t op_execute_milliseconds, op_wait_seconds;
int64_t deterministic_level;

static int check_initialised(void)
{
    pthread_mutex_lock(&emulator_lock);
    int now = references;
    pthread_mutex_unlock(&emulator_lock);
    return now ? 0 : fail(ACL_UNINITIALIZED, "aclInit was not called");
}

int runtime_check(struct context **context)
{
    int result = check_initialised();
    if (result)
        return result;
    if (!current || !object_is(current, OBJECT_CONTEXT))
        return fail(RT_CONTEXT_NULL, "this thread has no current context: call aclrtSetDevice or aclrtSetCurrentContext first");
    *context = current;
    pthread_mutex_lock(&emulator_lock);
    int lost = current->device->lost, stopped = current->stopped;
    if (lost)
        fail(lost, "device %d is lost until it is reset: %s", current->device->index, current->device->lost_message);
    pthread_mutex_unlock(&emulator_lock);
    if (lost)
        return lost;
    return stopped ? fail(stopped, "a stream of this context failed under stop-on-failure; nothing runs in it until the device is reset") : 0;
}

int stream_check(aclrtStream handle, struct stream **stream)
{
    struct context *context = NULL;
    if (in_callback)
        return fail(RT_FEATURE_NOT_SUPPORT, "a callback of a stream may neither enqueue nor synchronise");
    int result = runtime_check(&context);
    if (result)
        return result;
    *stream = handle ? handle : context->default_stream;
    if (handle && !object_is(handle, OBJECT_STREAM))
        return object_refuse(handle, OBJECT_STREAM);
    if ((*stream)->context != context)
        return fail(RT_STREAM_CONTEXT, "the stream belongs to another context (device %d) than this thread's current one (device %d)",
                    (*stream)->context->device->index, context->device->index);
    return 0;
}

EXPORT aclError aclInit(const char *configPath)
{
    ENTER();
    (void)configPath;
    memory_reserve_windows();
    control_start();
    pthread_mutex_lock(&emulator_lock);
    bool again = references > 0 && emulator_settings()->version_81;
    references += !again;
    pthread_mutex_unlock(&emulator_lock);
    return again ? fail(ACL_REPEAT_INITIALIZE, "aclInit was called before") : 0;
}

EXPORT aclError aclFinalizeReference(uint64_t *refCount)
{
    ENTER();
    int result = check_initialised();
    if (result)
        return result;
    pthread_mutex_lock(&emulator_lock);
    references--;
    if (refCount)
        *refCount = (uint64_t)references;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclFinalize(void)
{
    ENTER();
    pthread_mutex_lock(&emulator_lock);
    bool was = references > 0;
    references = 0;
    pthread_mutex_unlock(&emulator_lock);
    return was ? 0 : fail(ACL_REPEAT_FINALIZE, "aclFinalize was called before, or aclInit never");
}

EXPORT aclError aclrtGetVersion(int32_t *major, int32_t *minor, int32_t *patch)
{
    ENTER();
    if (!major || !minor || !patch)
        return fail(ACL_INVALID_PARAM, "an out-pointer is NULL");
    *major = 1;
    *minor = emulator_settings()->version_81 ? 13 : 17;
    *patch = 0;
    return 0;
}

EXPORT aclError aclsysGetVersionStr(char *package, char *version)
{
    ENTER();
    if (!package || !version)
        return fail(ACL_INVALID_PARAM, "an argument is NULL");
    snprintf(version, 128, "%s", emulator_settings()->version_81 ? "8.1.RC1" : "9.1.0");
    return 0;
}

EXPORT const char *aclrtGetSocName(void)
{
    ENTER();
    return emulator_settings()->soc.name;
}

EXPORT aclError aclrtGetRunMode(aclrtRunMode *mode)
{
    ENTER();
    if (!mode)
        return fail(ACL_INVALID_PARAM, "runMode is NULL");
    *mode = ACL_HOST;
    return 0;
}

EXPORT aclError aclrtSetSysParamOpt(aclSysParamOpt option, int64_t value)
{
    ENTER();
    int64_t highest = emulator_settings()->version_81 ? 1 : 3;
    if (option == ACL_OPT_DETERMINISTIC) {
        if (value < 0 || value > highest)
            return fail(ACL_INVALID_PARAM, "DETERMINISTIC is %lld; 0 to %lld is expected", (long long)value, (long long)highest);
        pthread_mutex_lock(&emulator_lock);
        deterministic_level = value;
        pthread_mutex_unlock(&emulator_lock);
        return 0;
    }
    return (int)option < 0 || option > 3 ? fail(ACL_INVALID_PARAM, "opt %d is unknown", (int)option) : 0;
}

EXPORT aclError aclrtGetSysParamOpt(aclSysParamOpt option, int64_t *value)
{
    ENTER();
    if (!value || option != ACL_OPT_DETERMINISTIC)
        return fail(ACL_INVALID_PARAM, "value is NULL, or an option the emulator does not keep");
    pthread_mutex_lock(&emulator_lock);
    *value = deterministic_level;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtCtxSetSysParamOpt(aclSysParamOpt option, int64_t value)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    return result ? result : aclrtSetSysParamOpt(option, value);
}

EXPORT aclError aclrtCtxGetSysParamOpt(aclSysParamOpt option, int64_t *value)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    return result ? result : aclrtGetSysParamOpt(option, value);
}

EXPORT aclError aclrtGetDeviceCount(uint32_t *count)
{
    ENTER();
    if (!count)
        return fail(ACL_INVALID_PARAM, "count is NULL");
    *count = emulator_settings()->n_devices;
    return 0;
}

static struct context *context_create(struct device *device)
{
    struct context *context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    context->device = device;
    context->default_stream = stream_create(context, 0);
    if (!context->default_stream) {
        free(context);
        return NULL;
    }
    pthread_mutex_lock(&emulator_lock);
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++)
        if (!contexts[i]) {
            contexts[i] = context;
            break;
        }
    pthread_mutex_unlock(&emulator_lock);
    object_add(&context->object, OBJECT_CONTEXT);
    return context;
}

static void context_destroy(struct context *context)
{
    object_take(context, OBJECT_CONTEXT);
    streams_destroy_context(context);
    pthread_mutex_lock(&emulator_lock);
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++)
        if (contexts[i] == context)
            contexts[i] = NULL;
    pthread_mutex_unlock(&emulator_lock);
    free(context);
}

static int check_device(int32_t index, struct device **device)
{
    int result = check_initialised();
    if (result)
        return result;
    *device = device_at(index);
    return *device ? 0 : fail(RT_INVALID_DEVICE, "device %d does not exist; there are %u", index, emulator_settings()->n_devices);
}

static int set_device(struct device *device)
{
    pthread_mutex_lock(&emulator_lock);
    bool first = device->set_count++ == 0;
    int lost = device->lost;
    pthread_mutex_unlock(&emulator_lock);
    if (lost) {
        device->set_count--;
        return fail(lost, "device %d was lost by an earlier fault; reset it", device->index);
    }
    if (first || !device->primary)
        device->primary = context_create(device);
    if (!device->primary)
        return fail(RT_NO_STREAM_RESOURCE, "no default context for device %d", device->index);
    current = device->primary;
    return 0;
}

EXPORT aclError aclrtSetDevice(int32_t index)
{
    ENTER();
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    pthread_mutex_lock(&devices_lock);
    result = set_device(device);
    pthread_mutex_unlock(&devices_lock);
    return result;
}

EXPORT aclError aclrtGetDevice(int32_t *index)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!index)
        return fail(ACL_INVALID_PARAM, "deviceId is NULL");
    *index = context->device->index;
    return 0;
}

static int reset_locked(struct device *device, bool force)
{
    pthread_mutex_lock(&emulator_lock);
    int count = device->set_count;
    if (count > 0)
        device->set_count = force ? 0 : count - 1;
    bool last = count > 0 && !device->set_count;
    pthread_mutex_unlock(&emulator_lock);
    if (!count)
        return fail(RT_PARAM_INVALID, "device %d is not set by anybody", device->index);
    if (!last)
        return 0;
    if (force)
        streams_abort_device(device);
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++)
        if (contexts[i] && contexts[i]->device == device)
            context_destroy(contexts[i]);
    device->primary = NULL;
    if (current && !object_is(current, OBJECT_CONTEXT))
        current = NULL;
    memory_free_all(device);
    virtual_memory_reset(device);
    pthread_mutex_lock(&emulator_lock);
    device->lost = device->last_fault = 0;
    device->resets++;
    device->peers = 0;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

static int reset_device(int32_t index, bool force)
{
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    pthread_mutex_lock(&devices_lock);
    result = reset_locked(device, force);
    pthread_mutex_unlock(&devices_lock);
    return result;
}

EXPORT aclError aclrtResetDevice(int32_t index)
{
    ENTER();
    return reset_device(index, false);
}

EXPORT aclError aclrtResetDeviceForce(int32_t index)
{
    ENTER();
    return reset_device(index, true);
}

EXPORT aclError aclrtCreateContext(aclrtContext *out, int32_t index)
{
    ENTER();
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    if (!out)
        return fail(ACL_INVALID_PARAM, "context is NULL");
    struct context *context = context_create(device);
    if (!context)
        return fail(RT_NO_STREAM_RESOURCE, "no stream left for another context on device %d", index);
    pthread_mutex_lock(&emulator_lock);
    device->set_count += device->set_count == 0;
    pthread_mutex_unlock(&emulator_lock);
    current = context;
    *out = context;
    return 0;
}

EXPORT aclError aclrtDestroyContext(aclrtContext handle)
{
    ENTER();
    struct context *context = handle;
    if (!object_is(handle, OBJECT_CONTEXT))
        return object_refuse(handle, OBJECT_CONTEXT);
    if (context == context->device->primary)
        return fail(RT_PARAM_INVALID, "the default context of device %d is destroyed by aclrtResetDevice only", context->device->index);
    if (current == context)
        current = NULL;
    context_destroy(context);
    return 0;
}

EXPORT aclError aclrtSetCurrentContext(aclrtContext handle)
{
    ENTER();
    if (!object_is(handle, OBJECT_CONTEXT))
        return object_refuse(handle, OBJECT_CONTEXT);
    current = handle;
    return 0;
}

EXPORT aclError aclrtGetCurrentContext(aclrtContext *handle)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!handle)
        return fail(ACL_INVALID_PARAM, "context is NULL");
    *handle = context;
    return 0;
}

static int synchronize_device(int32_t timeout)
{
    struct context *context;
    if (in_callback)
        return fail(RT_FEATURE_NOT_SUPPORT, "a callback of a stream may not synchronise");
    int result = runtime_check(&context);
    if (result)
        return result;
    if (timeout == 0 || timeout < -1)
        return fail(RT_PARAM_INVALID, "timeout is %d ms; -1 (for ever) or a positive number is expected", timeout);
    return streams_wait_context(context, timeout);
}

EXPORT aclError aclrtSynchronizeDevice(void)
{
    ENTER();
    return synchronize_device(-1);
}

EXPORT aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout)
{
    ENTER();
    return synchronize_device(timeout);
}

EXPORT aclError aclrtQueryDeviceStatus(int32_t index, aclrtDeviceStatus *status)
{
    ENTER();
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    if (!status)
        return fail(ACL_INVALID_PARAM, "deviceStatus is NULL");
    pthread_mutex_lock(&emulator_lock);
    *status = device->lost ? ACL_DEVICE_STATUS_ABNORMAL : ACL_DEVICE_STATUS_NORMAL;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtGetDeviceInfo(uint32_t index, int attribute, int64_t *value)
{
    ENTER();
    const struct settings *settings = emulator_settings();
    const struct soc_profile *soc = &settings->soc;
    if (index >= settings->n_devices)
        return fail(RT_INVALID_DEVICE, "device %u does not exist; there are %u", index, settings->n_devices);
    if (!value)
        return fail(ACL_INVALID_PARAM, "value is NULL");
    switch (attribute) {
    case 101:
    case 102: *value = soc->cube_cores; return 0;
    case 201: *value = soc->vector_cores; return 0;
    case 301: *value = (int64_t)settings->memory_bytes; return 0;
    case 601: *value = soc->family == SOC_310P ? 2002 : soc->family == SOC_950 ? 3510 : 2201; return 0;
    default: return fail(ACL_INVALID_PARAM, "attribute %d is not known to the emulator", attribute);
    }
}

EXPORT aclError aclGetDeviceCapability(uint32_t index, int information, int64_t *value)
{
    ENTER();
    static const int attributes[] = {101, 201};
    if (information < 0 || information > 1)
        return fail(ACL_INVALID_PARAM, "deviceInfo %d is not known to the emulator", information);
    return aclrtGetDeviceInfo(index, attributes[information], value);
}

EXPORT aclError aclrtDeviceCanAccessPeer(int32_t *can, int32_t index, int32_t peer)
{
    ENTER();
    if (!can || index == peer || !device_at(index) || !device_at(peer))
        return fail(RT_PARAM_INVALID, "two different devices and an out-pointer are expected, found %d and %d", index, peer);
    *can = 1;
    return 0;
}

static int change_peer(int32_t peer, bool enable)
{
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!device_at(peer) || peer == context->device->index)
        return fail(RT_INVALID_DEVICE, "device %d is not another device", peer);
    pthread_mutex_lock(&emulator_lock);
    context->device->peers = enable ? context->device->peers | 1u << peer : context->device->peers & ~(1u << peer);
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags)
{
    ENTER();
    return flags ? fail(RT_PARAM_INVALID, "flags must be 0, found %u", flags) : change_peer(peer, true);
}

EXPORT aclError aclrtDeviceDisablePeerAccess(int32_t peer)
{
    ENTER();
    return change_peer(peer, false);
}

EXPORT aclError aclrtDeviceTaskAbort(int32_t index, uint32_t timeout)
{
    ENTER();
    (void)timeout;
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    if (emulator_settings()->soc.family == SOC_310P)
        return fail(RT_FEATURE_NOT_SUPPORT, "%s cannot abort tasks", emulator_settings()->soc.name);
    streams_abort_device(device);
    return 0;
}

static int set_limit(uint32_t *limit, uint64_t value)
{
    int result = check_initialised();
    pthread_mutex_lock(&emulator_lock);
    if (!result)
        *limit = value > INT32_MAX ? INT32_MAX : (uint32_t)value;
    pthread_mutex_unlock(&emulator_lock);
    return result;
}

EXPORT aclError aclrtSetOpExecuteTimeOut(uint32_t seconds)
{
    ENTER();
    return set_limit(&op_execute_milliseconds, (uint64_t)seconds * 1000);
}

EXPORT aclError aclrtSetOpExecuteTimeOutWithMs(uint32_t milliseconds)
{
    ENTER();
    return set_limit(&op_execute_milliseconds, milliseconds);
}

#define TIMEOUT_INTERVAL_US ((uint64_t)4296000) /* the unit of hardware limits: 254 of them are the 1,091 s that AI Core operators have */

EXPORT aclError aclrtSetOpExecuteTimeOutV2(uint64_t microseconds, uint64_t *actual)
{
    ENTER();
    if (!actual)
        return fail(ACL_INVALID_PARAM, "actualTimeout is NULL");
    uint64_t steps = (microseconds + TIMEOUT_INTERVAL_US - 1) / TIMEOUT_INTERVAL_US;
    *actual = (steps > 254 ? 254 : steps < 1 ? 1 : steps) * TIMEOUT_INTERVAL_US;
    return set_limit(&op_execute_milliseconds, *actual / 1000);
}

EXPORT aclError aclrtGetOpTimeOutInterval(uint64_t *microseconds)
{
    ENTER();
    if (!microseconds)
        return fail(ACL_INVALID_PARAM, "interval is NULL");
    *microseconds = TIMEOUT_INTERVAL_US;
    return 0;
}

EXPORT aclError aclrtGetOpExecuteTimeout(uint32_t *milliseconds)
{
    ENTER();
    if (!milliseconds)
        return fail(ACL_INVALID_PARAM, "timeoutMs is NULL");
    pthread_mutex_lock(&emulator_lock);
    *milliseconds = op_execute_milliseconds ? op_execute_milliseconds : emulator_settings()->soc.family == SOC_310P ? 547000 : 1091000;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclrtSetOpWaitTimeout(uint32_t seconds)
{
    ENTER();
    return set_limit(&op_wait_seconds, seconds);
}

EXPORT aclError aclrtCtxGetCurrentDefaultStream(aclrtStream *stream)
{
    ENTER();
    struct context *context;
    int result = runtime_check(&context);
    if (result)
        return result;
    if (!stream)
        return fail(ACL_INVALID_PARAM, "stream is NULL");
    *stream = NULL; /* which names it in every call */
    return 0;
}

EXPORT aclError aclrtGetPrimaryCtxState(int32_t index, uint32_t *flags, int32_t *active)
{
    ENTER();
    struct device *device;
    int result = check_device(index, &device);
    if (result)
        return result;
    if (!active)
        return fail(ACL_INVALID_PARAM, "active is NULL");
    if (flags)
        *flags = 0;
    pthread_mutex_lock(&devices_lock);
    *active = device->primary != NULL;
    pthread_mutex_unlock(&devices_lock);
    return 0;
}

EXPORT aclError aclrtDevicePeerAccessStatus(int32_t index, int32_t peer, int32_t *status)
{
    ENTER();
    struct device *device = device_at(index);
    if (!status || index == peer || !device || !device_at(peer))
        return fail(RT_PARAM_INVALID, "two different devices and an out-pointer are expected, found %d and %d", index, peer);
    pthread_mutex_lock(&emulator_lock);
    *status = device->peers >> peer & 1;
    pthread_mutex_unlock(&emulator_lock);
    return 0;
}

EXPORT aclError aclGetCannAttribute(int attribute, int32_t *value)
{
    ENTER();
    bool small = emulator_settings()->soc.family == SOC_310P;
    if (!value || attribute < 0 || attribute > 2)
        return fail(ACL_INVALID_PARAM, "value is NULL, or attribute %d none of 0 (INF_NAN), 1 (BF16), 2 (JIT_COMPILE)", attribute);
    *value = attribute == 2 ? 0 : !small;
    return 0;
}
