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
    /// The last that it said; null: nothing. Ends with the view or one that follows on it, when the member is gone,
    /// when nobody <paramref name="wants"/> it any more, and after the limit; who <paramref name="joins"/> is waited
    /// for while it says that it acts in another mesh. A connection that ends says nothing of the member: only one
    /// who cannot be connected to is gone.
    /// </summary>
    /// <param name="calls">How it is asked.</param>
    /// <param name="runtime">On what time.</param>
    /// <param name="member">Who is asked: this very life of the node.</param>
    /// <param name="view">What it is shown.</param>
    /// <param name="since">From when on the limit counts.</param>
    /// <param name="settled">Whether it is to wait for no former member either.</param>
    /// <param name="joins">
    /// Whether it is a member of the view: then its own mesh and this one become one, or its lease ends.
    /// </param>
    /// <param name="wants">Whether it is still of use.</param>
    public static async Task<PingAnswer?> AskAsync(MeshCalls calls, MeshRuntime runtime, NodeRecord member,
        ViewId view, long since, bool settled, bool joins, Func<bool> wants)
    {
        double pause = 1;
        PingAnswer? said = null;
        bool elsewhere = false;
        while (wants() && runtime.Time.LeftOf(Limit, since) is var left && (left > TimeSpan.Zero || elsewhere))
        {
            var answer = await calls.PingAsync(member, new PingRequest(view), elsewhere ? Limit : left,
                CancellationToken.None);
            said = answer.Succeeded ? answer.Value : said;
            elsewhere = joins && answer.Succeeded && answer.Value.View.IsOfAnotherMesh(view);
            if (answer.Error is { } error ? IsGone(error) : IsThere(answer.Value, view, settled))
                break;
            pause = Math.Min(pause * 2, LongestPause);
            await runtime.Delay(TimeSpan.FromMilliseconds(pause), CancellationToken.None);
        }

        return said;
    }

    /// <summary>Whether the answer is of one who acts in the view.</summary>
    public static bool IsThere(PingAnswer answer, ViewId view, bool settled) =>
        answer.View.IsOrFollows(view) && !(settled && answer.AwaitsFormer);

    private static bool IsGone(MeshError error) => error.Code switch
    {
        MeshErrorCode.DeadlineExceeded or MeshErrorCode.Busy => false,
        MeshErrorCode.Unavailable => error.Stage == PeerLinks.Stage,
        _ => true,
    };
}
