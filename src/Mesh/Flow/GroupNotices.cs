// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Tells the other holders, once and without waiting for them, that a group was evicted here. What does not reach one,
/// or does not fit the queue, leaves there in its own turn.
/// </summary>
internal sealed class GroupNotices(FlowContext context)
{
    private const int MaxQueued = 1024;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan IdlePause = TimeSpan.FromSeconds(10);
    private readonly HashSet<string> _groups = new(StringComparer.Ordinal);
    private readonly WakeSignal _wake = new(context.Runtime.Time);
    private readonly CancellationTokenSource _stop = new();

    public void Start() => _ = context.Runtime.Start(LoopAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>Queues a group that was evicted here.</summary>
    public void Add(string group)
    {
        lock (_groups)
        {
            if (_groups.Count >= MaxQueued || !_groups.Add(group))
                return;
        }

        _wake.Set();
    }

    private async Task LoopAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            string[] groups;
            lock (_groups)
            {
                groups = [.. _groups];
                _groups.Clear();
            }

            Array.Sort(groups, StringComparer.Ordinal);
            foreach (string group in groups)
                await TellAsync(group);
            try
            {
                await _wake.WaitAsync(IdlePause, _stop.Token);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task TellAsync(string group)
    {
        var calls = new List<Task>();
        foreach (var node in context.View.Members)
        {
            if (node.Segments.Count > 0 && !context.Calls.IsSelf(node) && !context.IsDown(node))
                calls.Add(context.Calls.DropGroupAsync(node, new DropGroupRequest(group), AnswerTimeout, _stop.Token));
        }

        await Task.WhenAll(calls);
    }
}
