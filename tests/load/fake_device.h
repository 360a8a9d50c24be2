// SPDX-License-Identifier: Apache-2.0
//
// A device that keeps matrices row-major and counts how often each element was filled: what loading is tested against.
// Memory and weights only; every operator is absent.
#ifndef LF_TESTS_LOAD_FAKE_DEVICE_H
#define LF_TESTS_LOAD_FAKE_DEVICE_H

#include "device/device.h"

typedef struct fake_device {
    lf_device base; // first: &fake->base is the device
    bool executes_fp8;
    int n_allocation_left; // allocations that still succeed; negative: all
    int n_live;            // objects not freed yet
} fake_device;

void fake_device_init(fake_device *fake);

const lf_bf16 *fake_weight_values(const lf_weight *weight); // [n_row, n_col]
int64_t fake_weight_n_row(const lf_weight *weight);
int64_t fake_weight_n_col(const lf_weight *weight);
// Whether every element was filled exactly once.
bool fake_weight_is_filled_once(const lf_weight *weight);

#endif
