// Read before every file of AWS-LC. Its build for size closes the gate to its AVX-512 code in target.h; that header is read here
// as by a build for speed, and once it has been read it is not read again.
#if defined(OPENSSL_SMALL) && __has_include(<openssl/target.h>)
#undef OPENSSL_SMALL
#include <openssl/target.h>
#define OPENSSL_SMALL 1
#endif
