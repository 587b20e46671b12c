/* look_up NAME: prints the addresses of a name, sorted, as the C library finds them. */

#define _POSIX_C_SOURCE 200112L

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 16

static int compare(const void *one, const void *other)
{
    return strcmp(one, other);
}

int main(int count, char **arguments)
{
    char found[MOST][INET6_ADDRSTRLEN];
    struct addrinfo *list = NULL, wanted = {.ai_socktype = SOCK_STREAM};
    size_t length = 0;

    if (count != 2)
        return 2;
    int error = getaddrinfo(arguments[1], "80", &wanted, &list);
    if (error) {
        fprintf(stderr, "%s: %s\n", arguments[1], gai_strerror(error));
        return 1;
    }
    for (struct addrinfo *it = list; it && length < MOST; it = it->ai_next) {
        const void *address = it->ai_family == AF_INET
            ? (const void *)&((struct sockaddr_in *)it->ai_addr)->sin_addr
            : (const void *)&((struct sockaddr_in6 *)it->ai_addr)->sin6_addr;
        if (inet_ntop(it->ai_family, address, found[length], INET6_ADDRSTRLEN))
            length++;
    }
    freeaddrinfo(list);
    qsort(found, length, INET6_ADDRSTRLEN, compare);
    for (size_t at = 0; at < length; at++)
        printf(at ? " %s" : "%s", found[at]);
    printf("\n");
    return 0;
}
