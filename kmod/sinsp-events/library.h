// The three libsinsp that Debian has (0.1.1dev of 2022 in bookworm, 0.20 in trixie, 0.23 in sid), as one.

#pragma once

#include <memory>
#include <string>

#if __has_include(<sinsp.h>)
// In this order: the second needs what the first defines.
#include <sinsp.h>
#include <eventformatter.h>
#include <filter.h>
#define SINSP_2022 1
#else
#include <libsinsp/eventformatter.h>
#include <libsinsp/filter.h>
#include <libsinsp/sinsp.h>
#define SINSP_2022 0
#endif

inline void open_module(sinsp& inspector) {
#if SINSP_2022
    inspector.open();
#else
    inspector.open_kmod();
    inspector.start_capture();
#endif
}

// The probe that is built into the library.
inline void open_probe(sinsp& inspector) {
#if SINSP_2022
    static_cast<void>(inspector);
    throw sinsp_exception("libsinsp of 2022 has no eBPF probe of its own");
#else
    inspector.open_modern_bpf();
    inspector.start_capture();
#endif
}

inline std::unique_ptr<sinsp_evt_formatter> formatter(sinsp& inspector, const std::string& format) {
#if SINSP_2022
    return std::make_unique<sinsp_evt_formatter>(&inspector, format);
#else
    static sinsp_filter_check_list checks;
    return std::make_unique<sinsp_evt_formatter>(&inspector, format, checks);
#endif
}

// A parameter's bytes are members until 0.20, and behind functions in 0.23: what does not fit is no candidate.
template <class Param>
auto bytes_of(const Param& param, int) -> decltype(param.data()) {
    return param.data();
}

template <class Param>
auto bytes_of(const Param& param, long) -> decltype(param.m_val) {
    return param.m_val;
}

template <class Param>
auto length_of(const Param& param, int) -> decltype(static_cast<size_t>(param.len())) {
    return param.len();
}

template <class Param>
auto length_of(const Param& param, long) -> decltype(static_cast<size_t>(param.m_len)) {
    return param.m_len;
}

// Events that the newer library uses to learn about the machine and does not show.
inline bool is_internal(int32_t result) {
#ifdef SCAP_FILTERED_EVENT
    return result == SCAP_FILTERED_EVENT;
#else
    static_cast<void>(result);
    return false;
#endif
}
