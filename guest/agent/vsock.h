/* vsock.h: the agent's two ways to its host. */
#ifndef SM_GUEST_VSOCK_H
#define SM_GUEST_VSOCK_H

/* A non-blocking socket that connects to the host, or -1. */
int vsock_connect(void);
/* A non-blocking socket that listens for the host, or -1. */
int vsock_listen(void);

#endif
