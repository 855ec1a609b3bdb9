// A user's program in C++17: every public header, a handler made of lambdas, one timer.
#include <proactor/addr.h>
#include <proactor/asynch_accept.h>
#include <proactor/asynch_acceptor.h>
#include <proactor/asynch_connect.h>
#include <proactor/asynch_connector.h>
#include <proactor/asynch_read_dgram.h>
#include <proactor/asynch_read_file.h>
#include <proactor/asynch_read_stream.h>
#include <proactor/asynch_resolve.h>
#include <proactor/asynch_timer.h>
#include <proactor/asynch_transmit_file.h>
#include <proactor/asynch_write_dgram.h>
#include <proactor/asynch_write_file.h>
#include <proactor/asynch_write_stream.h>
#include <proactor/file.h>
#include <proactor/proactor.h>
#include <proactor/service_handler.h>
#include <proactor/socket.h>

#include <cstdio>
#include <cstring>
#include <memory>

namespace
{

struct Destroy {
	void operator()(pro_proactor *proactor) const
	{
		pro_proactor_destroy(proactor);
	}
};

struct Alarm {
	pro_handler handler{};
	pro_asynch_timer timer{};
	unsigned rung = 0;
};

Alarm *alarm_from_handler(pro_handler *handler)
{
	return pro_container_of(handler, Alarm, handler);
}

pro_handler_vtbl make_alarm_vtbl()
{
	pro_handler_vtbl vtbl{};

	vtbl.handle_time_out = [](pro_handler *handler, const pro_asynch_timer_result *result) {
		if (result->error == 0)
			alarm_from_handler(handler)->rung++;
		pro_proactor_shutdown(pro_operation_proactor(result->operation));
	};
	vtbl.handle_close = [](pro_handler *) {};
	return vtbl;
}

} // namespace

int main()
{
	static const pro_handler_vtbl alarm_vtbl = make_alarm_vtbl();
	Alarm alarm;
	pro_proactor *made = nullptr;

	if (std::strcmp(pro_version(), PRO_VERSION_STRING) != 0 ||
			pro_proactor_create(&made, nullptr, nullptr, 0) != 0)
		return 1;
	std::unique_ptr<pro_proactor, Destroy> proactor(made);
	if (pro_handler_init(&alarm.handler, &alarm_vtbl, proactor.get()) != 0 ||
			pro_asynch_timer_open(&alarm.timer, &alarm.handler, nullptr) != 0 ||
			pro_asynch_timer_schedule(&alarm.timer, 1) != 0 ||
			pro_proactor_run_event_loop(proactor.get()) != 0)
		return 1;
	std::puts(pro_version());
	return alarm.rung == 1 ? 0 : 1;
}
