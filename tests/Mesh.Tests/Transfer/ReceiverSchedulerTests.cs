// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer.Tcp;

namespace Mooncake.Mesh.Tests.Transfer;

public sealed class ReceiverSchedulerTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_call_goes_on_upon_the_thread_that_received_its_answer_and_after_the_reader()
    {
        var network = new SocketNetwork();
        await using var listener = network.Listen("127.0.0.1:0");
        var accepting = listener.AcceptAsync(Cancel);
        await using var here = await network.ConnectAsync(listener.Endpoint, Cancel);
        await using var there = await accepting;
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        bool readerIsDone = false;
        var call = ReceiverScheduler.Start(async _ =>
        {
            await answer.Task;
            return (Thread.CurrentThread.Name, readerIsDone);
        }, Cancel);
        var reading = ReadAsync();
        await there.SendAsync(new byte[1], Cancel);
        await reading;
        Assert.Equal(("mesh receive", true), await call);

        async Task ReadAsync()
        {
            await here.ReceiveAsync(new byte[1], Cancel);
            // As a reader does that holds a lock: what goes on must not do so within this.
            answer.SetResult();
            readerIsDone = true;
        }
    }

    [Fact]
    public async Task What_ends_elsewhere_goes_on_upon_the_pool()
    {
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var call = Task.Run(() => ReceiverScheduler.Start(async _ =>
        {
            await answer.Task;
            return Thread.CurrentThread.IsThreadPoolThread;
        }, Cancel), Cancel);
        var thread = new Thread(answer.SetResult) { IsBackground = true };
        thread.Start();
        Assert.True(await call);
    }

    [Fact]
    public async Task It_starts_on_the_calling_thread_and_what_it_throws_comes_with_the_task()
    {
        int started = 0;
        var failing = ReceiverScheduler.Start<int>(async _ =>
        {
            started = Environment.CurrentManagedThreadId;
            await Task.Yield();
            throw new IOException("lost");
        }, Cancel);
        Assert.Equal(Environment.CurrentManagedThreadId, started);
        Assert.Equal("lost", (await Assert.ThrowsAsync<IOException>(() => failing)).Message);
        Assert.Throws<IOException>(() =>
        {
            _ = ReceiverScheduler.Start<int>(_ => throw new IOException("early"), Cancel);
        });
    }
}
