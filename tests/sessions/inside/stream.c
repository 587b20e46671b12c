/* One checked stream: without arguments accepts one connection on port 7777, prints the number of
 * bytes and their checksum, and sends both back; with an address connects there, sends 13 MB, and
 * compares. Both print the same line and end with 0 when all is well. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 7777, CHUNK = 65536, CHUNKS = 200 };

static unsigned char buffer[CHUNK];
static unsigned long bytes;
static unsigned sum;

static void count(long more) {
	bytes += (unsigned long)more;
	for (long at = 0; at < more; at++) sum = sum * 31 + buffer[at];
}

static int fail(const char *what) {
	perror(what);
	return 1;
}

static int serve(int listener, struct sockaddr_in *address) {
	int yes = 1;
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes)) return fail("setsockopt");
	if (bind(listener, (struct sockaddr *)address, sizeof *address)) return fail("bind");
	if (listen(listener, 5)) return fail("listen");
	int stream = accept(listener, NULL, NULL);
	if (stream < 0) return fail("accept");
	ssize_t got;
	while ((got = read(stream, buffer, sizeof buffer)) > 0) count(got);
	if (got < 0) return fail("read");
	char line[64];
	int length = snprintf(line, sizeof line, "%lu %u\n", bytes, sum);
	if (write(stream, line, (size_t)length) != length) return fail("write");
	fputs(line, stdout);
	return 0;
}

static int fetch(int stream, struct sockaddr_in *address) {
	unsigned number = 1;
	if (connect(stream, (struct sockaddr *)address, sizeof *address)) return fail("connect");
	for (int chunk = 0; chunk < CHUNKS; chunk++) {
		for (int at = 0; at < CHUNK; at++) {
			number = number * 1103515245u + 12345u;
			buffer[at] = (unsigned char)(number >> 16);
		}
		count(CHUNK);
		for (size_t done = 0; done < CHUNK;) {
			ssize_t sent = write(stream, buffer + done, CHUNK - done);
			if (sent < 0) return fail("write");
			done += (size_t)sent;
		}
	}
	if (shutdown(stream, SHUT_WR)) return fail("shutdown");
	char mine[64], theirs[64] = "";
	size_t length = 0;
	ssize_t got;
	while ((got = read(stream, theirs + length, sizeof theirs - 1 - length)) > 0) length += (size_t)got;
	if (got < 0) return fail("read");
	snprintf(mine, sizeof mine, "%lu %u\n", bytes, sum);
	fputs(mine, stdout);
	return strcmp(mine, theirs) != 0;
}

int main(int count, char **arguments) {
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0) return fail("socket");
	if (count == 1) return serve(fd, &address);
	if (inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1) return 2;
	return fetch(fd, &address);
}
