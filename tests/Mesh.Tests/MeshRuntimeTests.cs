// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests;

public sealed class MeshRuntimeTests
{
    private readonly SingleThreadScheduler _scheduler = new();
    private readonly MeshRuntime _runtime;

    public MeshRuntimeTests() => _runtime = new MeshRuntime { Network = null!, Scheduler = _scheduler };

    [Fact]
    public async Task Work_whose_task_is_anothers_ends_without_a_step_on_the_thread_pool()
    {
        var source = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var plain = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var started = _runtime.Start(() => source.Task);
        var startedPlain = _runtime.Start(() => plain.Task);
        _scheduler.Pump();
        source.SetResult(7);
        plain.SetResult();
        _scheduler.Pump();
        // Not in a moment, when a thread of the pool has come to it.
        Assert.True(started.IsCompletedSuccessfully && startedPlain.IsCompletedSuccessfully);
        Assert.Equal(7, await started);
    }

    [Fact]
    public void What_work_throws_comes_with_its_task()
    {
        var source = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var failed = _runtime.Start(() => source.Task);
        var early = _runtime.Start(() => throw new InvalidDataException("early"));
        _scheduler.Pump();
        source.SetException(new IOException("late"));
        _scheduler.Pump();
        Assert.IsType<IOException>(failed.Exception?.InnerException);
        Assert.IsType<InvalidDataException>(early.Exception?.InnerException);
    }
}
