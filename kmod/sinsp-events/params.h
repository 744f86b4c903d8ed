// Parameters of events: their types by name, and their bytes as values.

#pragma once

#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "json.h"

// Names of `ppm_param_type` (driver/ppm_events_public.h), whose numbers are part of the schema and stay.
inline std::string type_name(unsigned type) {
    static const char* const names[] = {
        "none",    "int8",      "int16",     "int32",       "int64",   "uint8",     "uint16",    "uint32",
        "uint64",  "charbuf",   "bytebuf",   "errno",       "sockaddr", "socktuple", "fd",        "pid",
        "fdlist",  "fspath",    "syscallid", "sigtype",     "reltime", "abstime",   "port",      "l4proto",
        "sockfamily", "bool",   "ipv4addr",  "dyn",         "flags8",  "flags16",   "flags32",   "uid",
        "gid",     "double",    "sigset",    "charbufarray", "charbufpairarray", "ipv4net", "ipv6addr", "ipv6net",
        "ipaddr",  "ipnet",     "mode",      "fsrelpath",   "enumflags8", "enumflags16", "enumflags32",
    };
    return type < sizeof names / sizeof *names ? names[type] : "type" + std::to_string(type);
}

namespace params {

template <class T>
T load(const char* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

// A number of 1, 2, 4 or 8 bytes; null for any other length.
inline void number(Line& json, const char* bytes, size_t length, bool is_signed) {
    switch (length) {
    case 1: is_signed ? json.number(int64_t{load<int8_t>(bytes)}) : json.number(uint64_t{load<uint8_t>(bytes)}); break;
    case 2: is_signed ? json.number(int64_t{load<int16_t>(bytes)}) : json.number(uint64_t{load<uint16_t>(bytes)}); break;
    case 4: is_signed ? json.number(int64_t{load<int32_t>(bytes)}) : json.number(uint64_t{load<uint32_t>(bytes)}); break;
    case 8: is_signed ? json.number(load<int64_t>(bytes)) : json.number(load<uint64_t>(bytes)); break;
    default: json.null();
    }
}

// Families as the driver writes them: PPM_AF_UNIX, PPM_AF_INET, PPM_AF_INET6.
enum { UNIX = 1, INET = 2, INET6 = 10 };

// An address and a port in the order of the machine, from `bytes`.
inline void endpoint(Line& json, int family, const char* bytes) {
    char text[INET6_ADDRSTRLEN] = "";
    const size_t length = family == INET ? 4 : 16;
    inet_ntop(family == INET ? AF_INET : AF_INET6, bytes, text, sizeof text);
    json.begin('{').key("address").string(text);
    json.key("port").number(uint64_t{load<uint16_t>(bytes + length)});
    json.end('}');
}

inline void path(Line& json, const char* bytes, size_t length) { json.string({bytes, strnlen(bytes, length)}); }

// One byte of family, then an address and a port, or a path.
inline void sockaddr(Line& json, const char* bytes, size_t length) {
    const int family = static_cast<unsigned char>(bytes[0]);
    json.begin('{').key("family").number(int64_t{family});
    if ((family == INET && length == 7) || (family == INET6 && length == 19)) {
        json.key("endpoint");
        endpoint(json, family, bytes + 1);
    } else if (family == UNIX) {
        json.key("path");
        path(json, bytes + 1, length - 1);
    }
    json.end('}');
}

// One byte of family, then two endpoints; or two pointers of the kernel and a path.
inline void socktuple(Line& json, const char* bytes, size_t length) {
    const int family = static_cast<unsigned char>(bytes[0]);
    json.begin('{').key("family").number(int64_t{family});
    if ((family == INET && length == 13) || (family == INET6 && length == 37)) {
        json.key("source");
        endpoint(json, family, bytes + 1);
        json.key("destination");
        endpoint(json, family, bytes + 1 + (length - 1) / 2);
    } else if (family == UNIX && length >= 17) {
        json.key("source").number(load<uint64_t>(bytes + 1));
        json.key("destination").number(load<uint64_t>(bytes + 9));
        json.key("path");
        path(json, bytes + 17, length - 17);
    }
    json.end('}');
}

}  // namespace params

// The bytes of a parameter as the value that its type says; null when there are none, or when the type has no simple value.
inline void value(Line& json, const std::string& type, const char* bytes, size_t length) {
    static const std::string numbers[] = {
        "uint8", "uint16", "uint32", "uint64", "syscallid", "sigtype", "reltime", "abstime", "port", "l4proto", "sockfamily",
        "bool", "flags8", "flags16", "flags32", "uid", "gid", "sigset", "mode", "enumflags8", "enumflags16", "enumflags32",
    };
    static const std::string signed_numbers[] = {"int8", "int16", "int32", "int64", "errno", "fd", "pid"};
    static const std::string texts[] = {"charbuf", "fspath", "fsrelpath"};
    const auto among = [&](const auto& names) {
        for (const auto& name : names) {
            if (name == type) {
                return true;
            }
        }
        return false;
    };
    if (bytes == nullptr || length == 0) {
        json.null();
    } else if (among(numbers)) {
        params::number(json, bytes, length, false);
    } else if (among(signed_numbers)) {
        params::number(json, bytes, length, true);
    } else if (among(texts)) {
        params::path(json, bytes, length);
    } else if (type == "sockaddr") {
        params::sockaddr(json, bytes, length);
    } else if (type == "socktuple") {
        params::socktuple(json, bytes, length);
    } else {
        json.null();
    }
}
