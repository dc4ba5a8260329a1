/* What the project declares of Ascend's C interface: numbers, the few structures and the shapes of calls that chip/ascend uses, in its own words. Libraries are
 * opened at run time (library.c); nothing here is needed to build. Source: the published interface of CANN 8.1 to 9.1. */
#ifndef CHIP_ASCEND_ACL_H
#define CHIP_ASCEND_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Handles are opaque. */
typedef void *acl_stream;
typedef void *acl_event;
typedef void *acl_context;
typedef void *acl_graph;
typedef void *acl_group; /* of captured tasks that may be updated */
typedef void *acl_tensor;
typedef void *acl_tensor_list;
typedef void *acl_integers;
typedef void *acl_scalar;
typedef void *acl_executor;

enum acl_type { ACL_F32 = 0, ACL_F16 = 1, ACL_I8 = 2, ACL_I32 = 3, ACL_I64 = 9, ACL_BOOL = 12, ACL_BF16 = 27 };
enum acl_format { ACL_ND = 2, ACL_NZ = 29 };
enum acl_copy_kind { ACL_TO_DEVICE = 1, ACL_TO_HOST = 2, ACL_ON_DEVICE = 3 };
enum acl_memory_policy { ACL_HUGE_PAGES_FIRST = 0 };
enum acl_memory_kind { ACL_HBM = 1 };
enum acl_device_status { ACL_DEVICE_NORMAL = 0 };
enum acl_stream_status { ACL_STREAM_COMPLETE = 0 };
enum acl_event_status { ACL_EVENT_NOT_READY = 0, ACL_EVENT_COMPLETE = 1 };
enum acl_failure_mode { ACL_CONTINUE_ON_FAILURE = 0, ACL_STOP_ON_FAILURE = 1 };
enum acl_capture_mode { ACL_CAPTURE_THREAD_LOCAL = 1 };
enum acl_event_flag { ACL_EVENT_SYNCHRONISE = 1 };
enum acl_option { ACL_DETERMINISTIC = 0 };
enum acl_sparse_mode { ACL_SPARSE_NONE = 0, ACL_SPARSE_CAUSAL = 3, ACL_SPARSE_BAND = 4 };
enum acl_rotary_layout { ACL_ROTARY_TOKENS = 4 }; /* (tokens, heads, width) */

/* Codes that the chip itself looks for; the whole table is in errors.c. */
enum acl_code {
    ACL_SUCCESS = 0,
    ACL_REPEATED_INIT = 100002,
    ACL_FEATURE_NOT_SUPPORTED = 207000,
    ACL_STREAM_SYNC_TIMEOUT = 507046,
    ACL_EVENT_SYNC_TIMEOUT = 507047,
};

#define ACL_CAUSAL_MASK 2048 /* rows and columns of the fixed mask that sparse modes 2 to 4 take */
#define ACL_ALIGNMENT 512    /* of a workspace; buffers are laid out at it as well */
#define ACL_TAIL 32          /* bytes left free behind a piece of a buffer */

#endif
