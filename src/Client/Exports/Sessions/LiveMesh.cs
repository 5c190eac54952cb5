// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Client;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>A connected client, with the node embedded for it if there is one.</summary>
internal sealed class LiveMesh : IAsyncDisposable
{
    /// <summary>The client.</summary>
    public required MeshClient Client { get; init; }

    /// <summary>The node in this process that contributes memory, or null.</summary>
    public MeshNode? Node { get; init; }

    /// <summary>That node's registry.</summary>
    public IMeshRegistry? Registry { get; init; }

    /// <summary>What this client is called: host:port.</summary>
    public string Hostname { get; init; } = "";

    /// <summary>How long a call blocks before it is pending, in milliseconds; 0: to its end.</summary>
    public int SliceMilliseconds { get; init; }

    /// <summary>What gets ask for.</summary>
    public GetOptions Gets { get; init; } = GetOptions.Default;

    /// <summary>Longest time of a put; null: by its size.</summary>
    public TimeSpan? PutLimit { get; init; }

    /// <summary>Whether values may be put that lie in no registered memory (put, not put_from).</summary>
    public bool HasLocalBuffer { get; init; } = true;

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        if (Node is not null)
            await Node.DisposeAsync();
        if (Registry is not null)
            await Registry.DisposeAsync();
    }
}

/// <summary>A view that C has open.</summary>
internal sealed record OpenView(MappedView View, Session Session)
{
    /// <summary>Closes it.</summary>
    public void Close()
    {
        View.Dispose();
        Session.Release();
    }
}
