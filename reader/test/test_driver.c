/*
 * Load the driver as pcscd does, without pcscd, and hold it against a card process that keeps to the protocol and many
 * that don't.
 *
 *   loader DRIVER.so
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "driver_scene.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

static int count_open_files(void)
{
    int count = 0;
    DIR *files = opendir("/proc/self/fd");
    CHECK(files != NULL);
    while (readdir(files) != NULL)
        count++;
    (void)closedir(files);
    return count;
}

static size_t run_all(const struct test *tests, int files)
{
    size_t count = 0;
    for (; tests[count].name != NULL; count++) {
        (void)printf("%s\n", tests[count].name);
        (void)fflush(stdout);
        tests[count].run();
        CHECK(count_open_files() == files); /* nothing leaks into pcscd, which runs for months */
    }
    return count;
}

static void leave_nothing(void)
{
    (void)unlink(socket_path);
    (void)unlink(other_socket_path);
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    static const struct test *const FILES[] = {card_tests, interface_tests, polling_tests};
    size_t count = 0;
    int files;
    CHECK(argc == 2);
    (void)alarm(120); /* a driver that hangs fails the test */
    for (int fd = 3; fd < 256; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* what we were given ourselves is no leak of the driver's */
    load_driver(argv[1]);
    (void)snprintf(folder, sizeof folder, "/tmp/sra-reader-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(socket_path, sizeof socket_path, "%s/0", folder);
    (void)snprintf(other_socket_path, sizeof other_socket_path, "%s/1", folder);

    CHECK(atexit(leave_nothing) == 0);

    files = count_open_files();
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++)
        count += run_all(FILES[i], files);
    (void)printf("%zu tests passed\n", count);
    return 0;
}
