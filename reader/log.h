/* Lines in pcscd's own log. They never carry anything that came over the socket. */
#ifndef SRA_LOG_H
#define SRA_LOG_H

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
