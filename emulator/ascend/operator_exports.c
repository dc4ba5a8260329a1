/* Both exports of every operator, made from its row: phase one packs the arguments with their names and roles, phase two is the same for all. */
#include "ascend_operators.h"
#include "operator.h"

#define DECLARE(name) extern const struct operator_implementation implementation_##name;
IMPLEMENTATIONS(DECLARE)

#define PACK(kind, name) PACK_##kind(name)
#define PACK_HANDLE(argument, argument_kind, argument_role) {.name = #argument, .kind = argument_kind, .role = argument_role, .handle = argument},
#define PACK_IN(name) PACK_HANDLE(name, ARGUMENT_TENSOR, ROLE_INPUT)
#define PACK_OPT(name) PACK_HANDLE(name, ARGUMENT_TENSOR, ROLE_OPTIONAL)
#define PACK_OUT(name) PACK_HANDLE(name, ARGUMENT_TENSOR, ROLE_OUTPUT)
#define PACK_OPTOUT(name) PACK_HANDLE(name, ARGUMENT_TENSOR, ROLE_OPTIONAL_OUTPUT)
#define PACK_REF(name) PACK_HANDLE(name, ARGUMENT_TENSOR, ROLE_REFERENCE)
#define PACK_INLIST(name) PACK_HANDLE(name, ARGUMENT_LIST, ROLE_INPUT)
#define PACK_OPTLIST(name) PACK_HANDLE(name, ARGUMENT_LIST, ROLE_OPTIONAL)
#define PACK_OUTLIST(name) PACK_HANDLE(name, ARGUMENT_LIST, ROLE_OUTPUT)
#define PACK_OPTOUTLIST(name) PACK_HANDLE(name, ARGUMENT_LIST, ROLE_OPTIONAL_OUTPUT)
#define PACK_SCALAR(name) PACK_HANDLE(name, ARGUMENT_SCALAR, ROLE_INPUT)
#define PACK_OPTSCALAR(name) PACK_HANDLE(name, ARGUMENT_SCALAR, ROLE_OPTIONAL)
#define PACK_INTS(name) PACK_HANDLE(name, ARGUMENT_INTEGERS, ROLE_INPUT)
#define PACK_OPTINTS(name) PACK_HANDLE(name, ARGUMENT_INTEGERS, ROLE_OPTIONAL)
#define PACK_TEXT(name) PACK_HANDLE(name, ARGUMENT_TEXT, ROLE_INPUT)
#define PACK_OPTTEXT(name) PACK_HANDLE(name, ARGUMENT_TEXT, ROLE_OPTIONAL)
#define PACK_I64(argument) {.name = #argument, .kind = ARGUMENT_INTEGER, .integer = argument},
#define PACK_I8(name) PACK_I64(name)
#define PACK_I32(name) PACK_I64(name)
#define PACK_FLAG(name) PACK_I64(name)
#define PACK_TYPE(name) PACK_I64(name)
#define PACK_REAL(argument) {.name = #argument, .kind = ARGUMENT_REAL, .real = argument},

#define EXPORT_OPERATOR(operator, chips, used, which, limit, ...)                                                                                              \
    static const struct operator_row row_##operator= {"aclnn" #operator, chips, &implementation_##used, which, limit};                                         \
    EXPORT aclnnStatus aclnn##operator##GetWorkspaceSize(FOR_EACH(PARAMETER, __VA_ARGS__) uint64_t *workspaceSize, aclOpExecutor **executor)                   \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        const struct argument arguments[] = {FOR_EACH(PACK, __VA_ARGS__)};                                                                                     \
        return operator_prepare(&row_##operator, arguments, sizeof arguments / sizeof *arguments, workspaceSize, executor);                                    \
    }                                                                                                                                                          \
    EXPORT aclnnStatus aclnn##operator(void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream)                                   \
    {                                                                                                                                                          \
        ENTER();                                                                                                                                               \
        return operator_launch(&row_##operator, workspace, workspaceSize, executor, stream);                                                                   \
    }

OPERATORS(EXPORT_OPERATOR)
