/* Connecting to the card process, and whether it may be believed to be one. */
#ifndef SRA_PEER_H
#define SRA_PEER_H

/*
 * A connected, non-blocking socket, or -1 with the reason in errno: EACCES if the process at `path` may not be the
 * card of the reader whose sockets are in `folder`; `why` is then a sentence for the log, otherwise NULL.
 */
int peer_connect(const char *path, const char *folder, const char **why);

#endif
