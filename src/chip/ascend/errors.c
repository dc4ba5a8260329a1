#include "chip/ascend/errors.h"

#include <stdio.h>
#include <string.h>

static const struct ascend_error_row rows[] = {
    {100000, ERROR_BUG, "invalid parameter"},
    {100001, ERROR_BUG, "not initialised"},
    {107000, ERROR_BUG, "invalid parameter"},
    {107001, ERROR_BUG, "no such device"},
    {107002, ERROR_BUG, "no current context"},
    {107003, ERROR_BUG, "stream of another context"},
    {107017, ERROR_RESTART, "handle of something that is gone"},
    {107019, ERROR_RESTART, "a bounded wait ran out"},
    {107020, ERROR_RESTART, "a task ran out of time"},
    {107022, ERROR_RESTART, "the device's tasks are being aborted"},
    {107023, ERROR_RESTART, "the stream was aborted"},
    {107035, ERROR_RESTART, "the device's tasks were aborted"},
    {200000, ERROR_MEMORY, "no host memory"},
    {207000, ERROR_BUG, "not supported by this driver or chip"},
    {207001, ERROR_MEMORY, "no device memory"},
    {207003, ERROR_RESTART, "overflow in a kernel"},
    {207004, ERROR_LOST, "no device"},
    {207005, ERROR_MEMORY, "no resource left"},
    {207007, ERROR_MEMORY, "no event left"},
    {207008, ERROR_MEMORY, "no stream left"},
    {207018, ERROR_MEMORY, "device out of memory"},
    {207020, ERROR_RESTART, "the driver timed out"},
    {500000, ERROR_RESTART, "internal error"},
    {500004, ERROR_LOST, "driver failure"},
    {507000, ERROR_RESTART, "internal error of the runtime"},
    {507001, ERROR_RESTART, "error of the task scheduler"},
    {507002, ERROR_RETRY, "the stream's queue is full"},
    {507010, ERROR_LOST, "the device lost its heartbeat"},
    {507011, ERROR_RESTART, "a graph failed"},
    {507012, ERROR_RESTART, "no report from the device in time"},
    {507013, ERROR_RESTART, "error of a copy"},
    {507014, ERROR_RESTART, "a kernel ran out of time"},
    {507015, ERROR_RESTART, "exception in a kernel"},
    {507016, ERROR_RESTART, "trap in a kernel"},
    {507017, ERROR_RESTART, "an AI CPU kernel ran out of time"},
    {507018, ERROR_RESTART, "exception in an AI CPU kernel"},
    {507034, ERROR_RESTART, "a vector kernel ran out of time"},
    {507035, ERROR_RESTART, "exception in a vector kernel"},
    {507036, ERROR_RESTART, "trap in a vector kernel"},
    {507042, ERROR_RESTART, "a kernel read out of bounds"},
    {507043, ERROR_RESTART, "a kernel wrote out of bounds"},
    {507044, ERROR_RESTART, "a vector kernel read out of bounds"},
    {507045, ERROR_RESTART, "a vector kernel wrote out of bounds"},
    {507046, ERROR_RESTART, "the stream did not end in time"},
    {507047, ERROR_RESTART, "the event was not reached in time"},
    {507048, ERROR_RESTART, "a fused kernel ran out of time"},
    {507049, ERROR_RESTART, "exception in a fused kernel"},
    {507050, ERROR_RESTART, "trap in a fused kernel"},
    {507051, ERROR_LOST, "no message gets through to the device"},
    {507052, ERROR_LOST, "no data gets through to the device"},
    {507053, ERROR_LOST, "uncorrectable error in device memory"},
    {507054, ERROR_LOST, "multi-bit ECC error in device memory"},
    {507055, ERROR_LOST, "device memory is suspect"},
    {507056, ERROR_RESTART, "error of the link between devices"},
    {507057, ERROR_RESTART, "another device's memory is suspect"},
    {507899, ERROR_LOST, "internal error of the driver"},
    {507900, ERROR_RESTART, "internal error of the AI CPU"},
    {507901, ERROR_LOST, "the channel to the device is closed"},
    {507903, ERROR_BUG, "the capture was spoilt by a refused call"},
};

const struct ascend_error_row *ascend_error_find(int code)
{
    static const struct ascend_error_row others[] = {
        {0, ERROR_BUG, "refused"},
        {0, ERROR_MEMORY, "no resource left"},
        {0, ERROR_RESTART, "failure of the device or its driver"},
        {0, ERROR_BUG, "refused by an operator"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return &rows[i];
    if (code / 1000 == 161 || code / 1000 == 361 || code / 1000 == 561)
        return &others[3];
    return code / 100000 == 1 ? &others[0] : code / 100000 == 2 ? &others[1] : &others[2];
}

int ascend_error_code(enum ascend_error_class class)
{
    static const int codes[] = {
        [ERROR_RETRY] = SAMPAN_EBUSY,   [ERROR_RESTART] = SAMPAN_ELOST, [ERROR_LOST] = SAMPAN_ELOST,
        [ERROR_MEMORY] = SAMPAN_ENOMEM, [ERROR_BUG] = SAMPAN_EINTERNAL,
    };
    return codes[class];
}

int ascend_fail(const struct ascend_library *library, int code, struct error *err, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const struct ascend_error_row *row = ascend_error_find(code);
    const char *message = library->recent_message(), *next_step = "";
    if (row->class == ERROR_LOST)
        next_step = "; look at the device (npu-smi info), it may need service";
    if (row->class == ERROR_BUG)
        next_step = "; please report this with the version of CANN (sampan doctor)";
    return error_set(err, ascend_error_code(row->class), "%s: Ascend says %d (%s)%s%s%s", what, code, row->name, message && *message ? ": " : "",
                     message ? message : "", next_step);
}
