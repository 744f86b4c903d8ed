// JSON, one object a line, written into a string.

#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

// Writes members and elements in the order of the calls, with the commas between them.
class Line {
public:
    Line& begin(char bracket) {
        separate();
        text_ += bracket;
        fresh_ = true;
        return *this;
    }

    Line& end(char bracket) {
        text_ += bracket;
        fresh_ = false;
        return *this;
    }

    Line& key(std::string_view name) {
        string(name);
        text_ += ':';
        fresh_ = true;
        return *this;
    }

    Line& number(int64_t value) { return word(std::to_string(value)); }
    Line& number(uint64_t value) { return word(std::to_string(value)); }
    Line& boolean(bool value) { return word(value ? "true" : "false"); }
    Line& null() { return word("null"); }

    // Bytes that are no UTF-8 become U+FFFD: who needs them takes the parameter's raw bytes.
    Line& string(std::string_view value) {
        separate();
        text_ += '"';
        for (size_t at = 0; at < value.size();) {
            const auto byte = static_cast<unsigned char>(value[at]);
            const size_t length = utf8(value.substr(at));
            if (length == 0) {
                text_ += "\\ufffd";
                at += 1;
            } else if (byte == '"' || byte == '\\') {
                text_ += '\\';
                text_ += value[at++];
            } else if (byte < 0x20) {
                char escaped[8];
                std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
                text_ += escaped;
                at += 1;
            } else {
                text_ += value.substr(at, length);
                at += length;
            }
        }
        text_ += '"';
        return *this;
    }

    Line& hex(const char* bytes, size_t length) {
        static const char digits[] = "0123456789abcdef";
        std::string text;
        text.reserve(2 * length);
        for (size_t at = 0; at < length; at++) {
            text += digits[static_cast<unsigned char>(bytes[at]) >> 4];
            text += digits[static_cast<unsigned char>(bytes[at]) & 15];
        }
        return string(text);
    }

    // The line, with its end; the next one begins anew.
    std::string finish() {
        text_ += '\n';
        std::string done;
        done.swap(text_);
        fresh_ = true;
        return done;
    }

private:
    Line& word(std::string_view text) {
        separate();
        text_ += text;
        return *this;
    }

    void separate() {
        if (!fresh_) {
            text_ += ',';
        }
        fresh_ = false;
    }

    // Bytes of the character at the front, 0 when it is not well formed (RFC 3629).
    static size_t utf8(std::string_view text) {
        const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
        const unsigned char first = byte(0);
        const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
        if (length > text.size()) {
            return 0;
        }
        for (size_t at = 1; at < length; at++) {
            if ((byte(at) & 0xc0) != 0x80) {
                return 0;
            }
        }
        const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
        const bool surrogate = (first == 0xed && byte(1) > 0x9f) || (first == 0xf4 && byte(1) > 0x8f);
        return overlong || surrogate ? 0 : length;
    }

    std::string text_;
    bool fresh_ = true;
};
