/* The operators' functions: aclnnX and aclnnXGetWorkspaceSize for every row of operator_table.h, beside the runtime's in ascend_api.h. */
#ifndef ASCEND_OPERATORS_H
#define ASCEND_OPERATORS_H

#include "ascend_api.h"
#include "operator_table.h"

OPERATORS(OPERATOR_PROTOTYPES)

#endif
