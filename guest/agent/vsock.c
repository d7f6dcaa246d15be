/* vsock.c: the agent's two ways to its host; see vsock.h. */
#include "vsock.h"

#include "base/own.h"
#include "proto/agent.h"

#include <errno.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

enum { BACKLOG = 64 };

static int vsock_socket(void)
{
    return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int vsock_connect(void)
{
    struct sockaddr_vm host = {.svm_family = AF_VSOCK,
                               .svm_cid = AGENT_HOST_CID,
                               .svm_port = AGENT_PORT};
    AUTO_CLOSE int fd = vsock_socket();

    if (fd < 0 || (connect(fd, (const struct sockaddr *)&host, sizeof host) &&
                   errno != EINPROGRESS))
        return -1;
    return own_take_fd(&fd);
}

int vsock_listen(void)
{
    struct sockaddr_vm any = {.svm_family = AF_VSOCK,
                              .svm_cid = VMADDR_CID_ANY,
                              .svm_port = AGENT_PORT};
    AUTO_CLOSE int fd = vsock_socket();

    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof any) ||
        listen(fd, BACKLOG))
        return -1;
    return own_take_fd(&fd);
}
