// SPDX-License-Identifier: Apache-2.0
//
// The public interface of liblandfall.
#ifndef LANDFALL_H
#define LANDFALL_H

#ifdef __cplusplus
extern "C" {
#endif

// The version of the library, "major.minor.patch". Static.
const char *lf_version(void);

#ifdef __cplusplus
}
#endif

#endif
