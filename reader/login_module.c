/*
 * The PKCS #11 module that pam_pkcs11 is given: OpenSC's, cut off from the environment of the caller.
 *
 * su, sudo and others that run with set-user-ID load pam_pkcs11, and so OpenSC and PC/SC's library, as root, while the
 * environment is still the caller's. Those libraries read it with plain getenv(): OPENSC_CONF may name a library to load,
 * PCSCLITE_CSOCK_NAME another smart card service, HOME a folder to write to. So from before OpenSC is loaded until it is
 * unloaded the process has an environment of two variables of ours. This is not bound to AT_SECURE: login(1) is run by
 * root, and may have been given variables that came over a network.
 *
 * The caller's environment is put aside whole and comes back unchanged, since su hands it on to the shell that it starts.
 */

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Of PKCS #11: CK_RV, and two of its values. */
typedef unsigned long result;
#define CKR_OK 0UL
#define CKR_GENERAL_ERROR 5UL

typedef result (*get_function_list)(void **list);

__attribute__((visibility("default"))) result C_GetFunctionList(void **list);

/* Where distributions put OpenSC's module: only root writes there, and no variable is asked. */
static const char *const modules[] = {
    "/usr/lib/" MULTIARCH "/opensc-pkcs11.so",
    "/usr/lib/opensc-pkcs11.so",
    "/usr/lib64/opensc-pkcs11.so",
    "/usr/lib64/pkcs11/opensc-pkcs11.so",
};
/* PC/SC's library (since 2.3 in two parts), which OpenSC loads by name. It is loaded here first, with the same flags. */
static const char *const pcsc[] = {"libpcsclite_real.so.1", "libpcsclite.so.1"};

static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
/* Without it, GLib (by which OpenSC talks to the desktop) makes ~/.cache of the caller, in su as root. */
static char no_runtime[] = "XDG_RUNTIME_DIR=/dev/null";
static char *ours[] = {path, no_runtime, NULL};
static char **callers;
static void *loaded;

static bool is_replaced(const char *function)
{
    void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    bool replaced = library == NULL || dlsym(RTLD_DEFAULT, function) != dlsym(library, function);

    if (library != NULL)
        dlclose(library);
    return replaced;
}

/*
 * sudo has a getenv() of its own, which looks into another environment than environ. There, the libraries are bound to
 * the C library's first. Not everywhere: a program may have another malloc(), and all its libraries have to use the same.
 */
static int flags(void)
{
    return RTLD_NOW | RTLD_LOCAL | (is_replaced("getenv") ? RTLD_DEEPBIND : 0);
}

static void *load(void)
{
    void *found = NULL;

    /* One that is missing is missed by OpenSC, which then has no readers. They stay loaded: OpenSC goes first. */
    for (size_t i = 0; i < sizeof pcsc / sizeof *pcsc; i++)
        (void)dlopen(pcsc[i], flags());
    for (size_t i = 0; found == NULL && i < sizeof modules / sizeof *modules; i++)
        found = dlopen(modules[i], flags());
    return found;
}

result C_GetFunctionList(void **list)
{
    get_function_list get = NULL;

    if (environ != ours) {
        callers = environ;
        environ = ours;
    }
    if (loaded == NULL)
        loaded = load();
    if (loaded != NULL)
        *(void **)&get = dlsym(loaded, "C_GetFunctionList");
    return get != NULL ? get(list) : CKR_GENERAL_ERROR;
}

/* pam_pkcs11 unloads its module when it is done, however that went. */
__attribute__((destructor)) static void leave(void)
{
    if (loaded != NULL)
        dlclose(loaded);
    if (environ == ours)
        environ = callers;
}
