#include "sdk/net/handshake.h"

#include <gtest/gtest.h>

namespace wenqu::net {
namespace {

const AccessPolicy kLoopback;

TEST(HostCheck, OnLoopbackOnlyItsOwnNamesPass) {
  for (const char* host : {"localhost", "LocalHost", "localhost:8080", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:9", "[::1]", "[::1]:8080"})
    EXPECT_TRUE(host_allowed(host, kLoopback)) << host;
  for (const char* host :
       {"", "evil.com", "evil.com:80", "localhost.", "localhost.evil.com", "127.0.0.1.nip.io", "0.0.0.0", "127.0.0", "128.0.0.1",
        "::1", "[::1", "[::1]evil.com", "localhost:", "localhost:80x", "localhost:123456", "localhost evil.com", ":80"})
    EXPECT_FALSE(host_allowed(host, kLoopback)) << host;
}

TEST(HostCheck, ListedNamesPassBesides) {
  AccessPolicy policy;
  policy.allowed_hosts = {"wenqu.home"};
  EXPECT_TRUE(host_allowed("wenqu.home:8080", policy));
  EXPECT_TRUE(host_allowed("WENQU.home", policy));
  EXPECT_TRUE(host_allowed("localhost", policy));
  EXPECT_FALSE(host_allowed("a.wenqu.home", policy));
}

TEST(HostCheck, BeyondLoopbackTheTokenDecidesUnlessNamesAreListed) {
  AccessPolicy policy;
  policy.loopback = false;
  EXPECT_TRUE(host_allowed("10.0.0.5:8080", policy));
  policy.allowed_hosts = {"wenqu.home"};
  EXPECT_TRUE(host_allowed("wenqu.home", policy));
  EXPECT_FALSE(host_allowed("10.0.0.5:8080", policy));
}

TEST(HostCheck, TheServersOwnAddressAndLoopbackNamesPassBesidesThoseListed) {
  AccessPolicy policy;
  policy.loopback = false;
  policy.allowed_hosts = {"wenqu.home"};
  EXPECT_TRUE(host_allowed("10.0.0.5:8080", policy, "10.0.0.5"));
  EXPECT_TRUE(host_allowed("[fe80::1]:8080", policy, "[fe80::1]"));
  EXPECT_TRUE(host_allowed("127.0.0.1:8080", policy, "127.0.0.1"));
  EXPECT_TRUE(host_allowed("localhost:8080", policy, "127.0.0.1"));
  EXPECT_FALSE(host_allowed("10.0.0.6:8080", policy, "10.0.0.5"));
  EXPECT_FALSE(host_allowed("evil.com", policy, "10.0.0.5"));
  EXPECT_FALSE(host_allowed("", policy, ""));
}

TEST(OriginCheck, PagesServedFromLoopbackPass) {
  for (const char* origin : {"http://localhost", "http://localhost:5173", "https://127.0.0.1:8443", "http://[::1]:80",
                             "HTTP://LOCALHOST"})
    EXPECT_TRUE(origin_allowed(origin, kLoopback)) << origin;
}

TEST(OriginCheck, OtherPagesDoNot) {
  for (const char* origin :
       {"", "null", "https://evil.com", "http://localhost.evil.com", "http://evil.com/localhost", "http://localhost@evil.com",
        "http://127.0.0.1.evil.com", "http://localhost:80@evil.com", "file://", "file://localhost", "localhost",
        "http://", "http://localhost/", "http://xn--lcalhost-n0a", "chrome-extension://localhost", " http://localhost",
        "http://localhost:80, https://evil.com", "http://0.0.0.0", "http://2130706433"})
    EXPECT_FALSE(origin_allowed(origin, kLoopback)) << origin;
}

TEST(OriginCheck, ListedOriginsAreComparedWhole) {
  AccessPolicy policy;
  policy.allowed_origins = {"https://trusted.example.com"};
  EXPECT_TRUE(origin_allowed("https://trusted.example.com", policy));
  EXPECT_TRUE(origin_allowed("https://Trusted.Example.com", policy));
  for (const char* origin : {"https://trusted.example.com.evil.com", "http://trusted.example.com",
                             "https://trusted.example.com:444", "https://trustedxexample.com", "https://a.trusted.example.com"})
    EXPECT_FALSE(origin_allowed(origin, policy)) << origin;
}

TEST(TokenCheck, WithoutATokenEverybodyPasses) { EXPECT_TRUE(token_allowed("", "", kLoopback)); }

TEST(TokenCheck, TheTokenComesInTheHeaderOrAsASubprotocol) {
  AccessPolicy policy;
  policy.token = "0123456789abcdef";
  EXPECT_TRUE(token_allowed("Bearer 0123456789abcdef", "", policy));
  EXPECT_TRUE(token_allowed("bearer  0123456789abcdef ", "", policy));
  EXPECT_TRUE(token_allowed("", "wenqu.v1, bearer.0123456789abcdef", policy));
  EXPECT_TRUE(token_allowed("", "bearer.0123456789abcdef,wenqu.v1", policy));
  for (const char* authorization : {"", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0",
                                    "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", "0123456789abcdef",
                                    "Bearer 0123456789abcdef0123456789abcdef"})
    EXPECT_FALSE(token_allowed(authorization, "", policy)) << authorization;
  for (const char* subprotocols : {"wenqu.v1", "bearer.", "bearer.0123", "0123456789abcdef", "Bearer.0123456789abcdef"})
    EXPECT_FALSE(token_allowed("", subprotocols, policy)) << subprotocols;
}

TEST(TokenCheck, AWrongHeaderIsNotMendedByASubprotocol) {
  AccessPolicy policy;
  policy.token = "0123456789abcdef";
  EXPECT_FALSE(token_allowed("Bearer wrong", "bearer.0123456789abcdef", policy));
}

TEST(TokenCheck, TokensMustBeLongAndFitBothPlaces) {
  EXPECT_TRUE(validate_token("0123456789abcdef"));
  EXPECT_FALSE(validate_token("0123456789abcde"));
  EXPECT_FALSE(validate_token("0123456789abcdef,"));
  EXPECT_FALSE(validate_token("0123456789 abcdef"));
  EXPECT_FALSE(validate_token("0123456789abcdef\r\n"));
}

TEST(Subprotocols, AreFoundInAList) {
  EXPECT_TRUE(offers_subprotocol("chat, wenqu.v1", "wenqu.v1"));
  EXPECT_FALSE(offers_subprotocol("wenqu.v10", "wenqu.v1"));
  EXPECT_FALSE(offers_subprotocol("", "wenqu.v1"));
  EXPECT_FALSE(offers_subprotocol(" , ,", "wenqu.v1"));
}

}  // namespace
}  // namespace wenqu::net
