// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>Shows a member a view until it acts in that one: it pulls it from us, a trip or two later.</summary>
internal static class ShownView
{
    /// <summary>For one who answers and does not come to the view, or who answers nothing.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(500);

    private const double LongestPause = 50;

    /// <summary>
    /// The last view that it said it acts in, or null; ends with that one or one that follows on it, when the member
    /// is gone, when nobody <paramref name="wants"/> it any more, and after the limit.
    /// </summary>
    public static async Task<ViewId?> AskAsync(MeshCalls calls, MeshRuntime runtime, NodeRecord member, ViewId view,
        Func<bool> wants)
    {
        long start = runtime.Time.GetTimestamp();
        double pause = 1;
        ViewId? shown = null;
        while (wants() && runtime.Time.LeftOf(Limit, start) is var left && left > TimeSpan.Zero)
        {
            var answer = await calls.PingAsync(member, new PingRequest(view), left, CancellationToken.None);
            shown = answer.Succeeded ? answer.Value.View : shown;
            bool isGone = answer.Error is { Code: not MeshErrorCode.DeadlineExceeded };
            if (isGone || (answer.Succeeded && answer.Value.View.IsOrFollows(view)))
                break;
            pause = Math.Min(pause * 2, LongestPause);
            await runtime.Delay(TimeSpan.FromMilliseconds(pause), CancellationToken.None);
        }

        return shown;
    }
}
