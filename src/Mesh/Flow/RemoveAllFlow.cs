// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Removes everything, at the node that a client asked: one counter in the registry goes up by one, which every node
/// sees; then it waits until all that can be reached have dropped what is older.
/// </summary>
/// <param name="context">View and calls.</param>
/// <param name="clear">What this node itself does.</param>
/// <param name="raise">Raises the registry's counter above a number; the new one.</param>
internal sealed class RemoveAllFlow(FlowContext context, ClearFlow clear,
    Func<long, CancellationToken, Task<MeshResult<long>>> raise)
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Removes everything.</summary>
    public async Task<MeshResult<RemoveAllAnswer>> RunAsync(Deadline deadline, CancellationToken cancel)
    {
        var raised = await raise(clear.Known, cancel);
        if (!raised.Succeeded)
            return raised.Error!;
        long cleared = raised.Value;
        clear.Learn(cleared);
        var members = context.View.Members;
        var waits = new Task<Progress>[members.Count];
        for (int i = 0; i < waits.Length; i++)
            waits[i] = WaitAsync(members[i], cleared, deadline, cancel);
        int done = 0, away = 0;
        foreach (var wait in waits)
        {
            var progress = await wait;
            done += progress == Progress.Done ? 1 : 0;
            away += progress == Progress.Away ? 1 : 0;
        }

        int late = members.Count - done - away;
        return late == 0
            ? new RemoveAllAnswer(cleared, done, away)
            : new MeshError(MeshErrorCode.DeadlineExceeded, "remove-all",
                $"everything is being removed; {late} of {members.Count} nodes were not done within "
                + $"{deadline.Limit.TotalMilliseconds:0} ms");
    }

    private async Task<Progress> WaitAsync(NodeRecord node, long cleared, Deadline deadline, CancellationToken cancel)
    {
        bool heard = false;
        while (!deadline.Passed && !cancel.IsCancellationRequested)
        {
            var answer = await context.Calls.ClearAsync(node, new ClearRequest(cleared),
                deadline.AtMost(AnswerTimeout), cancel);
            if (answer.Succeeded && answer.Value.Done >= cleared)
                return Progress.Done;
            heard = answer.Succeeded;
            if (!heard && (context.IsDown(node) || context.View.Find(node.NodeId, node.Incarnation) is null))
                return Progress.Away;
            await context.Runtime.Delay(deadline.AtMost(Pause), cancel);
        }

        return heard ? Progress.Late : Progress.Away;
    }

    private enum Progress
    {
        Done,
        Away,
        Late,
    }
}
