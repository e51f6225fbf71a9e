/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define VERSION 1
#define KEY_MARK_LEN 4 /* enough to tell a wrong key from damage */
#define HEAD_LEN (1 + KEY_MARK_LEN + crypto_secretbox_NONCEBYTES)
#define HEX_LEN (2 * sizeof(((struct seal_key *)0)->b))

_Static_assert(sizeof(((struct seal_key *)0)->b) == crypto_secretbox_KEYBYTES, "the key is a secretbox key");

static void start_sodium(void);
static void key_mark(const struct seal_key *key, unsigned char out[KEY_MARK_LEN]);
static int write_all(int fd, const char *bytes, size_t len);

int seal_key_make(const char *path, struct err *err)
{
	struct seal_key key;
	char hex[HEX_LEN + 2];

	start_sodium();
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, ERR_PERM, "cannot make the seal key %s: %s", path, strerror(errno));
	crypto_secretbox_keygen(key.b);
	sodium_bin2hex(hex, sizeof hex, key.b, sizeof key.b);
	hex[HEX_LEN] = '\n';
	int failed = write_all(fd, hex, HEX_LEN + 1) < 0 || fsync(fd) < 0 ? errno : 0;
	close(fd);
	sodium_memzero(hex, sizeof hex);
	seal_key_wipe(&key);
	if (!failed)
		return 0;
	unlink(path);
	return err_set(err, ERR_TEMP, "could not write the seal key %s: %s", path, strerror(failed));
}

int seal_key_load(const char *path, struct seal_key *out, struct err *err)
{
	char bytes[HEX_LEN + 3];
	struct stat about;

	start_sodium();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_FATAL, "cannot read the seal key %s: %s", path, strerror(errno));
	ssize_t got = read(fd, bytes, sizeof bytes);
	int stat_failed = fstat(fd, &about);
	close(fd);
	if (got < 0 || stat_failed)
		return err_set(err, ERR_TEMP, "could not read the seal key %s: %s", path, strerror(errno));
	/* The group may read: secrets that Kubernetes mounts for a plain user come so. */
	if (about.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP))
		return err_set(err, ERR_FATAL, "cannot use the seal key %s: others may read it; chmod 600 it", path);
	size_t len = (size_t)got, bin_len;
	while (len > sizeof out->b && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	bool is_good = true;
	if (len == sizeof out->b)
		memcpy(out->b, bytes, len);
	else
		is_good = len == HEX_LEN && sodium_hex2bin(out->b, sizeof out->b, bytes, len, NULL, &bin_len, NULL) == 0 &&
		          bin_len == sizeof out->b;
	sodium_memzero(bytes, sizeof bytes);
	if (!is_good)
		return err_set(err, ERR_FATAL, "cannot use the seal key %s: it is neither 32 bytes nor 64 hex digits", path);
	return 0;
}

void seal_key_wipe(struct seal_key *key)
{
	sodium_memzero(key->b, sizeof key->b);
}

struct str seal(struct arena *arena, const struct seal_key *key, struct str secret)
{
	size_t len = HEAD_LEN + crypto_secretbox_MACBYTES + secret.len;
	unsigned char *out = arena_alloc(arena, len), *nonce = out + 1 + KEY_MARK_LEN;

	start_sodium();
	out[0] = VERSION;
	key_mark(key, out + 1);
	randombytes_buf(nonce, crypto_secretbox_NONCEBYTES);
	crypto_secretbox_easy(out + HEAD_LEN, (const unsigned char *)(secret.len ? secret.at : ""), secret.len, nonce, key->b);
	return str_span((const char *)out, len);
}

int seal_open(struct arena *arena, const struct seal_key *key, struct str sealed, struct str *out, struct err *err)
{
	const unsigned char *bytes = (const unsigned char *)sealed.at;
	unsigned char mark[KEY_MARK_LEN];

	start_sodium();
	if (sealed.len < HEAD_LEN + crypto_secretbox_MACBYTES || bytes[0] != VERSION)
		return err_set(err, ERR_PERM, "cannot open a sealed secret: it is damaged, or sealed by a newer mailcase");
	key_mark(key, mark);
	if (sodium_memcmp(mark, bytes + 1, sizeof mark) != 0)
		return err_set(err, ERR_PERM, "cannot open a sealed secret: it was sealed with another key than that of "
		               "MAILCASE_SEAL_KEY_FILE");
	size_t len = sealed.len - HEAD_LEN - crypto_secretbox_MACBYTES;
	char *plain = arena_alloc(arena, len + 1);
	if (crypto_secretbox_open_easy((unsigned char *)plain, bytes + HEAD_LEN, sealed.len - HEAD_LEN, bytes + 1 + KEY_MARK_LEN,
	                               key->b) != 0)
		return err_set(err, ERR_PERM, "cannot open a sealed secret: it is damaged");
	plain[len] = '\0';
	*out = str_span(plain, len);
	return 0;
}

void seal_forget(struct str *secret)
{
	/* The bytes are ours, in an arena or a buffer; the view is const only to its readers. */
	if (secret->len)
		sodium_memzero((void *)(uintptr_t)secret->at, secret->len);
	*secret = STR_NULL;
}

/* Repeating it costs nothing, and nobody need remember to do it first. */
static void start_sodium(void)
{
	if (sodium_init() < 0)
		die_no_memory(0);
}

static void key_mark(const struct seal_key *key, unsigned char out[KEY_MARK_LEN])
{
	unsigned char hash[crypto_generichash_BYTES];

	crypto_generichash(hash, sizeof hash, key->b, sizeof key->b, NULL, 0);
	memcpy(out, hash, KEY_MARK_LEN);
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t put = write(fd, bytes, len);
		if (put < 0 && errno != EINTR)
			return -1;
		if (put > 0) {
			bytes += put;
			len -= (size_t)put;
		}
	}
	return 0;
}
