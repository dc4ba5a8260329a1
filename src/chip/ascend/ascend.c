/* The interface. device.c opens, layout.c and compile.c plan, weights.c loads, step.c and wait.c run. */
#include "chip/ascend/ascend.h"

#include "chip/ascend/plan.h"

const struct chip_interface ascend_chip_interface = {
    .kind = "ascend",
    .probe = ascend_chip_probe,
    .open = ascend_chip_open,
    .close = ascend_chip_close,
    .describe = ascend_chip_describe,
    .health = ascend_chip_health,
    .supports = ascend_supports,
    .profiles = ascend_profiles_list,
    .plan_estimate = ascend_plan_estimate,
    .plan_create = ascend_plan_create,
    .plan_free = ascend_plan_free,
    .plan_describe = ascend_plan_describe,
    .plan_print = ascend_plan_print,
    .plan_submit = ascend_plan_submit,
    .plan_wait = ascend_plan_wait,
    .plan_read_buffer = ascend_plan_read_buffer,
    .plan_write_buffer = ascend_plan_write_buffer,
    .plan_read_block = ascend_plan_read_block,
    .diagnose = ascend_chip_diagnose,
};
