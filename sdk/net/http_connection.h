// The HTTP side of a client: one request is read and either answered, or, when it asks for a
// websocket and may have one, handed on as a session. Nothing is kept alive and no body is ever
// read, so there is nothing to smuggle.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "sdk/net/context.h"

namespace wenqu::net {

// Network thread only. `overloaded`: whatever is asked for but the health, the answer is 503.
void serve_connection(boost::asio::ip::tcp::socket socket, Context& context, bool overloaded);

}  // namespace wenqu::net
