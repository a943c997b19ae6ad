#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef __APPLE__
#include <syslog.h>
#endif

/* The longest line is a sentence and the path of a socket (at most 107 bytes). */
#define LINE_SIZE 256

#ifdef __APPLE__

static void write_line(int severity, const char *line)
{
    syslog(severity, "Secure Remote Access reader: %s", line);
}

#define SEVERITY_INFO LOG_INFO
#define SEVERITY_ERROR LOG_ERR

#else

/* pcscd exports this function (PCSC/debuglog.h) to its drivers. Weak, because the loader test is not pcscd. */
extern void log_msg(int priority, const char *format, ...) __attribute__((weak, format(printf, 2, 3)));

static void write_line(int severity, const char *line)
{
    if (log_msg != NULL)
        log_msg(severity, "Secure Remote Access reader: %s", line);
}

/* PCSC_LOG_INFO and PCSC_LOG_ERROR of PCSC/debuglog.h. */
#define SEVERITY_INFO 1
#define SEVERITY_ERROR 2

#endif

void log_info(const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    write_line(SEVERITY_INFO, line);
}

void log_error(const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    write_line(SEVERITY_ERROR, line);
}
