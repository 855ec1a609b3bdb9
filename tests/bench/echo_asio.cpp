// The echo server of Asio's own kind: one io_context that as many threads run as argv[1] says.
#include <asio.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

using asio::ip::tcp;

class session : public std::enable_shared_from_this<session>
{
  public:
	explicit session(tcp::socket socket) : socket_(std::move(socket))
	{
	}

	// One operation is under way at any time, so no strand is needed.
	void read()
	{
		socket_.async_read_some(asio::buffer(bytes_),
				[self = shared_from_this()](const asio::error_code &error, std::size_t length) {
					if (!error)
						self->write(length);
				});
	}

  private:
	void write(std::size_t length)
	{
		asio::async_write(socket_, asio::buffer(bytes_, length),
				[self = shared_from_this()](const asio::error_code &error, std::size_t) {
					if (!error)
						self->read();
				});
	}

	tcp::socket socket_;
	std::array<char, 16384> bytes_;
};

static void accept(tcp::acceptor &acceptor)
{
	acceptor.async_accept([&acceptor](const asio::error_code &error, tcp::socket socket) {
		if (!error) {
			socket.set_option(tcp::no_delay(true));
			std::make_shared<session>(std::move(socket))->read();
		}
		accept(acceptor);
	});
}

int main(int argc, char **argv)
{
	const int count = argc > 1 ? std::atoi(argv[1]) : 1;
	asio::io_context context(count);
	tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
	std::vector<std::thread> threads;

	accept(acceptor);
	std::printf("listening on 127.0.0.1:%u\n", unsigned{acceptor.local_endpoint().port()});
	std::fflush(stdout);
	for (int i = 1; i < count; i++)
		threads.emplace_back([&context] { context.run(); });
	context.run();
	for (std::thread &thread : threads)
		thread.join();
}
