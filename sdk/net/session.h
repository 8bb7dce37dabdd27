// One websocket: reads a client's messages, sends it the events of its answers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>

#include "sdk/net/context.h"

namespace wenqu::net {

// Completes the upgrade, which must have been checked. Network thread only.
void start_session(boost::asio::ip::tcp::socket socket,
                   boost::beast::http::request<boost::beast::http::empty_body> upgrade, Context& context);

}  // namespace wenqu::net
