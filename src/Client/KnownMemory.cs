// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Client;

/// <summary>
/// Memory that a client is told of once. It need not be: of other memory the driver of the devices is asked each time.
/// </summary>
public static class KnownMemory
{
    /// <summary>
    /// Asks where memory lies, host or device, and remembers it; it stays the same until
    /// <see cref="UnregisterMemory"/>. At most 65,536 ranges; of more the driver is asked each time.
    /// </summary>
    public static void RegisterMemory(this MeshClient client, NativeRange memory)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Operations.Context.CallerMemory.Note(memory);
    }

    /// <summary>Forgets the memory that was registered with this first byte; before it is freed.</summary>
    public static void UnregisterMemory(this MeshClient client, nint address)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Operations.Context.CallerMemory.Forget(address);
    }
}
