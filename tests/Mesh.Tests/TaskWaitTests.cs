// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Tests;

public sealed class TaskWaitTests
{
    [Fact]
    public void A_result_that_comes_from_another_thread_wakes_the_waiter()
    {
        var source = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        int result = 0;
        var waiting = new Thread(() => result = TaskWait.ResultOf(source.Task));
        waiting.Start();
        source.SetResult(7);
        Assert.True(waiting.Join(TimeSpan.FromSeconds(30)));
        Assert.Equal(7, result);
    }

    [Fact]
    public void One_that_does_not_end_in_time_may_be_waited_for_again()
    {
        var source = new TaskCompletionSource();
        var wait = new TaskWait(source.Task);
        for (int i = 0; i < 3; i++)
            Assert.False(wait.Ends(TimeSpan.FromMilliseconds(1), TimeProvider.System));
        Assert.False(wait.Ends(TimeSpan.Zero, TimeProvider.System));
        source.SetResult();
        Assert.True(wait.Ends(Timeout.InfiniteTimeSpan, TimeProvider.System));
    }

    [Fact]
    public void What_a_task_threw_is_thrown_where_its_result_is_taken()
    {
        var failed = Task.FromException<int>(new InvalidDataException("bad"));
        Assert.True(new TaskWait(failed).Ends(TimeSpan.Zero, TimeProvider.System));
        Assert.Equal("bad", Assert.Throws<InvalidDataException>(() => TaskWait.ResultOf(failed)).Message);
        var cancelled = Task.FromCanceled<int>(new CancellationToken(true));
        Assert.Throws<TaskCanceledException>(() => TaskWait.ResultOf(cancelled));
    }

    [Fact]
    public void A_wait_is_not_taken_for_the_next_one()
    {
        // A signal that is set late, of a task that has ended, ends no other wait.
        for (int i = 0; i < 1000; i++)
        {
            int expected = i;
            Assert.Equal(expected, TaskWait.ResultOf(Task.Run(() => expected)));
        }
    }
}
