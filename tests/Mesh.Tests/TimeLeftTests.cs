// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests;

/// <summary>
/// A step that ends 1 ms after its limit: the difference is what every wait takes for "for ever".
/// </summary>
public sealed class TimeLeftTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(99);
    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData(0, 99)]
    [InlineData(98, 1)]
    [InlineData(99, 0)]
    [InlineData(100, 0)]
    [InlineData(2000, 0)]
    public void Less_than_nothing_is_never_left(int elapsed, int left)
    {
        long start = _time.GetTimestamp();
        var deadline = new Deadline(_time, Limit);
        _time.Advance(TimeSpan.FromMilliseconds(elapsed));
        Assert.Equal(TimeSpan.FromMilliseconds(left), _time.LeftOf(Limit, start));
        Assert.Equal(TimeSpan.FromMilliseconds(left), deadline.Left);
        Assert.Equal(left == 0, deadline.Passed);
    }

    [Fact]
    public void Of_no_limit_there_is_always_the_same_left()
    {
        long start = _time.GetTimestamp();
        _time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(Timeout.InfiniteTimeSpan, _time.LeftOf(Timeout.InfiniteTimeSpan, start));
    }

    [Fact]
    public async Task A_wait_with_a_deadline_that_passed_1_ms_ago_ends_at_once()
    {
        var deadline = new Deadline(_time, Limit);
        _time.Advance(Limit + TimeSpan.FromMilliseconds(1));
        var never = new TaskCompletionSource();
        var wait = never.Task.EndsWithinAsync(deadline.Left, _time, TestContext.Current.CancellationToken);
        Assert.True(wait.IsCompleted);
        Assert.False(await wait);
    }
}
