#include "chip/ascend/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

enum { NEEDED = 1, OPTIONAL = 0 };

enum { MAX_FOLDERS = 6, MAX_HANDLES = 8 };

/* In the order in which symbols are looked for. The runtime and the operators were split over several libraries after 8.1; the old names are tried after
 * the new. */
static const char *const names[MAX_HANDLES] = {
    "libacl_rt.so", "libascendcl.so", "libnnopbase.so", "libopapi_transformer.so", "libopapi_nn.so", "libopapi_math.so", "libopapi.so",
};

struct opened {
    struct opened *next;
    struct ascend_library library;
};

static struct opened *all;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Folders. */

struct search {
    char folders[MAX_FOLDERS][sizeof((struct ascend_library *)0)->folder];
    int count;
};

static void add_folder(struct search *search, const char *root, const char *below)
{
    if (!root || search->count == MAX_FOLDERS)
        return;
    int length = snprintf(search->folders[search->count], sizeof search->folders[0], "%s%s", root, below);
    if (length >= 0 && (size_t)length < sizeof search->folders[0])
        search->count++;
}

static void list_folders(struct search *search, const char *folder)
{
    search->count = 0;
    if (*folder) {
        add_folder(search, folder, "");
        return;
    }
    add_folder(search, getenv("ASCEND_HOME_PATH"), "/lib64");
    add_folder(search, getenv("ASCEND_TOOLKIT_HOME"), "/lib64");
    add_folder(search, "", ""); /* LD_LIBRARY_PATH, as the vendor's set_env.sh sets it */
    add_folder(search, "/usr/local/Ascend/cann", "/lib64");
    add_folder(search, "/usr/local/Ascend/ascend-toolkit/latest", "/lib64");
}

static void *open_one(const char *folder, const char *name)
{
    char path[640];
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    return dlopen(path, RTLD_LAZY | RTLD_LOCAL);
}

/* The handles of a folder; 0 where the runtime is not there. */
static int open_folder(const char *folder, void *handles[MAX_HANDLES])
{
    int count = 0;
    for (int i = 0; i < MAX_HANDLES && names[i]; i++) {
        void *handle = open_one(folder, names[i]);
        if (handle)
            handles[count++] = handle;
        else if (i == 1 && count == 0)
            return 0; /* neither name of the runtime */
    }
    return count;
}

/* ---- Symbols. */

static ascend_function find(void *const *handles, int count, const char *symbol)
{
    for (int i = 0; i < count; i++) {
        void *address = dlsym(handles[i], symbol);
        ascend_function function;
        if (address) {
            memcpy(&function, &address, sizeof function); /* POSIX: an object pointer of dlsym holds a function */
            return function;
        }
    }
    return NULL;
}

struct symbol_row {
    bool needed;
    const char *symbol;
    size_t offset; /* in struct ascend_library */
};

static const struct symbol_row symbol_rows[] = {
#define SYMBOL_ROW(need, field, symbol, result, arguments) {need, symbol, offsetof(struct ascend_library, field)},
    ASCEND_SYMBOLS(SYMBOL_ROW)
#undef SYMBOL_ROW
};

static const struct {
    bool needed;
    const char *symbol;
} operator_rows[OPERATOR_COUNT] = {
#define OPERATOR_ROW(need, name, symbol) {need, symbol},
    ASCEND_OPERATORS(OPERATOR_ROW)
#undef OPERATOR_ROW
};

static int refuse_symbol(const char *symbol, const char *folder, struct error *err)
{
    return error_set(err, SAMPAN_EUNSUPPORTED, "opening Ascend's libraries%s%s: they have no %s; CANN 8.1 or newer is expected", *folder ? " in " : "", folder,
                     symbol);
}

static int resolve(struct ascend_library *library, void *const *handles, int count, struct error *err)
{
    for (size_t i = 0; i < sizeof symbol_rows / sizeof symbol_rows[0]; i++) {
        ascend_function function = find(handles, count, symbol_rows[i].symbol);
        if (!function && symbol_rows[i].needed)
            return refuse_symbol(symbol_rows[i].symbol, library->folder, err);
        memcpy((char *)library + symbol_rows[i].offset, &function, sizeof function);
    }
    for (int i = 0; i < OPERATOR_COUNT; i++) {
        char name[96];
        struct ascend_operator *found = &library->operators[i];
        found->symbol = operator_rows[i].symbol;
        snprintf(name, sizeof name, "%sGetWorkspaceSize", found->symbol);
        found->prepare = find(handles, count, name);
        ascend_function run = find(handles, count, found->symbol);
        memcpy(&found->run, &run, sizeof run);
        if (!run)
            found->prepare = NULL;
        if (!found->prepare && operator_rows[i].needed)
            return refuse_symbol(found->symbol, library->folder, err);
    }
    return 0;
}

bool ascend_operator_in_81(enum ascend_operator_name name)
{
    /* Everything used here is in 8.1's headers but these. */
    return name != OPERATOR_ROTARY_V2 && name != OPERATOR_SCATTER_KV;
}

static int refuse_folders(const struct search *search, struct error *err)
{
    struct buffer tried;
    buffer_init(&tried, 8192);
    for (int i = 0; i < search->count; i++)
        buffer_printf(&tried, "%s%s", i ? ", " : "", *search->folders[i] ? search->folders[i] : "the loader's search path");
    int status =
        error_set(err, SAMPAN_ENOTFOUND,
                  "opening Ascend's libraries: libascendcl.so was found in none of: %s; install CANN and source its set_env.sh, or name the folder with "
                  "the option library=FOLDER",
                  tried.data ? tried.data : "");
    buffer_free(&tried);
    return status;
}

static int open_new(const char *folder, const struct ascend_library **library, struct error *err)
{
    struct search search;
    list_folders(&search, folder);
    for (int i = 0; i < search.count; i++) {
        void *handles[MAX_HANDLES];
        for (const struct opened *one = all; one; one = one->next)
            if (strcmp(one->library.folder, search.folders[i]) == 0) {
                *library = &one->library;
                return 0;
            }
        int count = open_folder(search.folders[i], handles);
        if (!count)
            continue;
        struct opened *made = mem_zalloc(sizeof *made);
        if (!made)
            return error_no_memory(err, "opening Ascend's libraries");
        memcpy(made->library.folder, search.folders[i], sizeof made->library.folder);
        int status = resolve(&made->library, handles, count, err);
        if (status) {
            mem_free(made);
            return status;
        }
        made->next = all;
        all = made;
        *library = &made->library;
        return 0;
    }
    return refuse_folders(&search, err);
}

int ascend_library_open(const char *folder, const struct ascend_library **library, struct error *err)
{
    *library = NULL;
    pthread_mutex_lock(&lock);
    int status = open_new(folder, library, err);
    pthread_mutex_unlock(&lock);
    return status;
}
